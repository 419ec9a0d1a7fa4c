export { freePort, startNatsServer, type NatsServerOptions, type RunningNatsServer } from './nats-server.js';
export { whileReporting, type OnProgress } from './progress.js';
export { resolveNatsCli } from './resolve-nats-cli.js';
export { NoNatsServer, resolveNatsServer, type NatsServerBinary, type ResolveOptions } from './resolve-nats-server.js';
export { runCommand, type RunOptions } from './run-command.js';
export { writeSecret } from './write-secret.js';
