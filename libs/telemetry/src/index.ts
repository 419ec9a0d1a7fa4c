export { announceReady, onStorageScarce, stopOnSignal } from './app-lifecycle.js';
export { gauge } from './gauge.js';
export { createLogger, type Logger } from './logger.js';
export { nestLogger } from './nest-logger.js';
export { OpsServer, metrics, type OpsServerOptions } from './ops-server.js';
