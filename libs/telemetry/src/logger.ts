import { trace } from '@opentelemetry/api';
import { pino, type LogFn, type Logger as PinoLogger } from 'pino';
import { Counter } from 'prom-client';
import { metrics } from './ops-server.js';

export type Logger = PinoLogger;

/**
 * Logs of one app: JSON lines on stderr. The level is in `CALLBOARD_LOG_LEVEL` (default `info`).
 *
 * ERROR means that a person must act; a fault that heals itself is WARN. Fields are ids, codes, counts and times: payloads,
 * arguments and results never go into a log, so errors are reduced to what we wrote ourselves. What is logged while a trace is on says which.
 */
export function createLogger(app: string, instance: string): Logger {
  return pino(
    {
      level: process.env['CALLBOARD_LOG_LEVEL'] ?? 'info',
      base: { app, instance },
      messageKey: 'message',
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (level) => ({ level }) },
      serializers: { err: describeError },
      mixin: traceNow,
      hooks: { logMethod: counted },
    },
    pino.destination({ fd: 2, sync: false }),
  );
}

const lines = new Counter({
  name: 'callboard_log_lines_total',
  help: 'Lines of log by level; `error`: a person must act',
  labelNames: ['level'],
  registers: [metrics],
});
for (const level of ['warn', 'error']) lines.inc({ level }, 0);

function counted(this: Logger, args: Parameters<LogFn>, method: LogFn, level: number): void {
  lines.inc({ level: pino.levels.labels[level] ?? 'other' });
  method.apply(this, args);
}

function traceNow(): object {
  const now = trace.getActiveSpan()?.spanContext();
  return now ? { trace_id: now.traceId, span_id: now.spanId } : {};
}

function describeError(error: unknown): object {
  if (!(error instanceof Error)) return { name: typeof error };
  const { code } = error as { code?: unknown };
  return {
    name: error.name,
    message: error.message,
    ...(typeof code === 'string' || typeof code === 'number' ? { code } : {}),
    ...(error.cause instanceof Error && { cause: describeError(error.cause) }),
    stack: error.stack
      ?.split('\n')
      .filter((line) => /^\s+at /.test(line))
      .slice(0, 5)
      .map((line) => line.trim()),
  };
}
