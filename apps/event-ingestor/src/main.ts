import 'reflect-metadata';
import { loadConfig } from '@callboard/config';
import { HttpServer, ResourceMetadata } from '@callboard/http';
import { watchConnection } from '@callboard/jetstream';
import {
  OpsServer,
  announceReady,
  createLogger,
  nestLogger,
  onStorageScarce,
  startTracing,
  stopOnSignal,
  watchCertificates,
} from '@callboard/telemetry';
import type { NatsConnection } from '@nats-io/transport-node';
import { NestFactory } from '@nestjs/core';
import { AppModule, NATS } from './app.module.js';
import { BusSources } from './backstage-bus/bus-sources.js';
import { IngestorConfig } from './config.js';
import { IngestEdge } from './ingest-edge.js';
import { Ingest } from './ingest.js';
import { openSources } from './sources.js';

const config = loadConfig(IngestorConfig);
const log = createLogger('event-ingestor', config.instance);
watchCertificates(config);
await startTracing('event-ingestor', config);
const sources = await openSources(config, process.env);

const app = await NestFactory.createApplicationContext(AppModule.with(config, sources, log), {
  logger: nestLogger(log),
});
const edge = app.get(IngestEdge);
const metadata = app.get<ResourceMetadata | undefined>(ResourceMetadata);
const http = new HttpServer({ ...config, host: config.httpHost, port: config.httpPort }, (req, res) => {
  if (metadata && ResourceMetadata.isMetadata(req)) metadata.handle(req, res);
  else edge.handle(req, res);
});
onStorageScarce((scarce) => {
  app.get(Ingest).refusing = scarce ? 'The disk of the streams is nearly full' : undefined;
});
let serving = true;
const isConnected = watchConnection(app.get<NatsConnection>(NATS));
const ops = new OpsServer({
  host: config.opsHost,
  port: config.opsPort,
  readiness: () => serving && isConnected(),
});
const buses = app.get<BusSources | undefined>(BusSources);
const ports = { http: await http.start(), ops: await ops.start() };
await buses?.start();
announceReady(ports);
log.info({ http_port: ports.http, ops_port: ports.ops, sources: sources.length }, 'running');

stopOnSignal(log, async () => {
  serving = false;
  await Promise.all([http.stop(config.drainTimeoutMs), buses?.stop()]);
  await app.close();
  await ops.stop();
});
