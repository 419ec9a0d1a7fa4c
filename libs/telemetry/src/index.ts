export { announceReady, onStorageScarce, stopOnSignal } from './app-lifecycle.js';
export { watchAudit, type Recording } from './audit-metrics.js';
export { watchCertificates } from './certificates.js';
export { gauge, soon } from './gauge.js';
export { createLogger, type Logger } from './logger.js';
export { gateOf, openPolicies } from './policies.js';
export { startTracing } from './tracing.js';
export { nestLogger } from './nest-logger.js';
export { OpsServer, metrics, type OpsServerOptions } from './ops-server.js';
