/**
 * Sends spans to a collector, by OTLP over HTTP. Loaded only where there is one.
 *
 * Bounded: spans wait in a queue of 2,048; while the collector is slow or away, those beyond are dropped. Nothing waits for it.
 */
import { ExportResultCode, type ExportResult } from '@opentelemetry/core';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
import {
  BatchSpanProcessor,
  NodeTracerProvider,
  ParentBasedSampler,
  TraceIdRatioBasedSampler,
  type ReadableSpan,
  type SpanProcessor,
} from '@opentelemetry/sdk-trace-node';
import { Counter } from 'prom-client';
import { metrics } from './ops-server.js';

export interface TraceOptions {
  app: string;
  instance: string;
  url: string;
  ratio: number;
}

const EXPORT_TIMEOUT_MS = 5_000;
const EVERY_MS = 1_000;
/** A stopping process waits no longer for a collector. */
const FLUSH_MS = 2_000;

const spans = new Counter({
  name: 'callboard_trace_spans_total',
  help: 'Spans of this process: ended, exported, and lost because the collector did not take them; the rest waits, or was dropped from a full queue',
  labelNames: ['what'],
  registers: [metrics],
});

/** @returns what sends the rest; it takes two seconds at most, and never rejects */
export function openTraces({ app, instance, url, ratio }: TraceOptions): () => Promise<void> {
  for (const what of ['ended', 'exported', 'lost']) spans.inc({ what }, 0);
  const exporter = new CountingExporter({ url, timeoutMillis: EXPORT_TIMEOUT_MS });
  const batches = new BatchSpanProcessor(exporter, {
    scheduledDelayMillis: EVERY_MS,
    exportTimeoutMillis: EXPORT_TIMEOUT_MS,
  });
  const provider = new NodeTracerProvider({
    resource: resourceFromAttributes({
      'service.namespace': 'callboard',
      'service.name': app,
      'service.instance.id': instance,
    }),
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(ratio) }),
    spanProcessors: [COUNTING, batches],
  });
  provider.register();
  return async () => {
    const late = new Promise<void>((resolve) => setTimeout(resolve, FLUSH_MS).unref());
    await Promise.race([provider.shutdown().catch(() => undefined), late]);
  };
}

const COUNTING: SpanProcessor = {
  onStart: () => undefined,
  onEnd: () => spans.inc({ what: 'ended' }),
  forceFlush: () => Promise.resolve(),
  shutdown: () => Promise.resolve(),
};

class CountingExporter extends OTLPTraceExporter {
  override export(batch: ReadableSpan[], done: (result: ExportResult) => void): void {
    super.export(batch, (result) => {
      spans.inc({ what: result.code === ExportResultCode.SUCCESS ? 'exported' : 'lost' }, batch.length);
      done(result);
    });
  }
}
