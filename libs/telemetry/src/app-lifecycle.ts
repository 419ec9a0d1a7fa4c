import type { Logger } from './logger.js';
import { stopTracing } from './tracing.js';

/** Tells the supervisor that started this process where it listens; nothing happens without one. */
export function announceReady(ports: { http?: number; ops: number }): void {
  process.send?.({ type: 'ready', ports });
}

/** Calls back when the supervisor finds that the disk of the streams is nearly full, and when there is room again. */
export function onStorageScarce(listener: (scarce: boolean) => void): void {
  process.on('message', (message: { type?: string; scarce?: boolean }) => {
    if (message.type === 'storage') listener(message.scarce === true);
  });
}

/**
 * Runs `stop` once, at SIGTERM or SIGINT, and ends the process: 0 when it settled, 1 when it failed. A second signal does not wait.
 * When the supervisor that started this process is gone, that is a signal too.
 */
export function stopOnSignal(log: Logger, stop: () => Promise<void>): void {
  let stopping = false;
  const onSignal = (signal: string) => {
    if (stopping) process.exit(1);
    stopping = true;
    log.info({ signal }, 'stopping');
    const stopped = stop().finally(stopTracing);
    stopped.then(
      () => process.exit(0),
      (error: unknown) => {
        log.error({ err: error }, 'could not stop in order');
        process.exit(1);
      },
    );
  };
  process.once('disconnect', () => onSignal('disconnect'));
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', () => {
    // A terminal sends Ctrl-C to the whole group; under a supervisor it is the supervisor that decides.
    if (!process.connected) onSignal('SIGINT');
  });
}
