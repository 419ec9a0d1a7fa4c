/** Traces of this process: none, and no SDK in memory, unless they have somewhere to go. */
import type { AppConfig } from '@callboard/config';

let stop: (() => Promise<void>) | undefined;

/** What is done from here on can be part of traces. */
export async function startTracing(app: string, config: AppConfig): Promise<void> {
  if (config.tracesUrl === undefined) return;
  const { openTraces } = await import('./trace-export.js');
  stop = openTraces({ app, instance: config.instance, url: config.tracesUrl, ratio: config.tracesRatio });
}

/** Sends what there is, for a moment at most. Never rejects. */
export async function stopTracing(): Promise<void> {
  await stop?.();
}
