import 'reflect-metadata';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { loadConfig } from '@callboard/config';
import { HttpServer, ResourceMetadata } from '@callboard/http';
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
import { AuditTrail, CommandClient, watchConnection } from '@callboard/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { NestFactory } from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';
import { AppModule, EVENTS, FRONTS, NATS, type Fronts } from './app.module.js';
import { FrontendConfig } from './config.js';
import { McpEdge } from './edge.js';
import type { Events } from './events/open-events.js';
import { noteRefusal } from './recorded.js';
import { RESULT_TOOL } from './result-tool.js';
import { ResultsEdge } from './results/results-edge.js';
import { SessionRouter } from './sessions/session-router.js';

const config = loadConfig(FrontendConfig);
const log = createLogger('mcp-frontend', config.instance);
watchCertificates(config);
await startTracing('mcp-frontend', config);

const express = new ExpressAdapter();
const app = await NestFactory.create(AppModule.with(config, log), express, {
  bodyParser: false,
  logger: nestLogger(log),
});
await app.init();
const nc = app.get<NatsConnection>(NATS);
const edge = app.get(McpEdge);
const metadata = app.get(ResourceMetadata);
const results = app.get(ResultsEdge);
const audit = app.get(AuditTrail);
const others = express.getInstance() as (req: IncomingMessage, res: ServerResponse) => void;
// MCP goes straight to the edge, without a framework in the way; what is neither MCP nor a report, to the framework's application.
const http = new HttpServer({ ...config, host: config.httpHost, port: config.httpPort }, (req, res) => {
  if (McpEdge.isMcp(req)) return edge.handle(req, res);
  if (ResultsEdge.isReport(req)) return results.handle(req, res);
  noteRefusal(audit, req, res);
  if (ResourceMetadata.isMetadata(req)) metadata.handle(req, res);
  else others(req, res);
});
onStorageScarce((scarce) => {
  app.get(CommandClient).refusing = scarce ? 'The disk of the streams is nearly full' : undefined;
});
/** Time to answer the calls that are let go of. */
const LAST_WORDS_MS = 1_000;
const STOPPING_WITHOUT_RESULT = `This front end is stopping; the command goes on, and ${RESULT_TOOL.id} has its result`;
let serving = true;
const isConnected = watchConnection(nc);
const ops = new OpsServer({
  host: config.opsHost,
  port: config.opsPort,
  readiness: () => serving && isConnected(),
});
const ports = { http: await http.start(), ops: await ops.start() };
announceReady(ports);
log.info({ http_port: ports.http, ops_port: ports.ops }, 'running');

stopOnSignal(log, async () => {
  serving = false;
  const stopped = http.stop(config.drainTimeoutMs);
  // Whoever waits for an event asks another replica next.
  app.get<Events>(EVENTS).close();
  // Before the connections are cut: whoever still waits learns how to come by the result.
  const enough = setTimeout(
    () => void app.get(CommandClient).letGo(STOPPING_WITHOUT_RESULT),
    Math.max(0, config.drainTimeoutMs - LAST_WORDS_MS),
  );
  await Promise.all([...app.get<Fronts>(FRONTS).values()].map((front) => front.close()));
  await app.get(SessionRouter).close();
  await stopped;
  clearTimeout(enough);
  await app.close();
  await ops.stop();
});
