import 'reflect-metadata';
import { loadConfig } from '@callboard/config';
import {
  announceReady,
  createLogger,
  nestLogger,
  startTracing,
  stopOnSignal,
  watchCertificates,
} from '@callboard/telemetry';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { RunnerConfig } from './config.js';
import { createRunner } from './runner.js';

const config = loadConfig(RunnerConfig);
const log = createLogger('action-runner', config.instance);
watchCertificates(config);
await startTracing('action-runner', config);
const runner = await createRunner(config, log);

@Module({})
class RunnerModule {}

const app = await NestFactory.createMicroservice(RunnerModule, { strategy: runner.transport, logger: nestLogger(log) });
const opsPort = await runner.ops.start();
await app.listen();
await runner.announcer.start();
announceReady({ ops: opsPort });
log.info({ ops_port: opsPort }, 'running');

stopOnSignal(log, async () => {
  // A server that is away must not keep what runs from being finished; the announcement then expires.
  await runner.announcer.stop().catch((err: unknown) => log.warn({ err }, 'the announcement could not be taken back'));
  await app.close();
  await runner.adapters?.close();
  await runner.close();
  await runner.nc.drain();
  await runner.ops.stop();
});
