/** What a person waiting at a terminal is told, one line a call. */
export type OnProgress = (message: string) => void;

const REPEAT_MS = 5_000;

/** Announces a step, and every few seconds that it still runs: a silent program looks like one that hangs. */
export async function whileReporting<T>(onProgress: OnProgress, message: string, step: Promise<T>): Promise<T> {
  onProgress(message);
  const startedAt = Date.now();
  const repeat = setInterval(
    () => onProgress(`${message} (${Math.round((Date.now() - startedAt) / 1000)} s)`),
    REPEAT_MS,
  );
  try {
    return await step;
  } finally {
    clearInterval(repeat);
  }
}
