import type { Logger } from './logger.js';

/** What Nest asks of a logger, written as our own lines. Its start-up chatter is debug. */
export function nestLogger(log: Logger) {
  return {
    log: (message: unknown, context?: unknown) => log.debug({ context }, String(message)),
    debug: (message: unknown, context?: unknown) => log.debug({ context }, String(message)),
    verbose: (message: unknown, context?: unknown) => log.trace({ context }, String(message)),
    warn: (message: unknown, context?: unknown) => log.warn({ context }, String(message)),
    error: (message: unknown, ...rest: unknown[]) => log.error({ context: rest.at(-1) }, String(message)),
    fatal: (message: unknown, ...rest: unknown[]) => log.fatal({ context: rest.at(-1) }, String(message)),
  };
}
