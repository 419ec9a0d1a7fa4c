/**
 * A signal that aborts with another one, or when so much time has passed.
 *
 * `AbortSignal.any` with `AbortSignal.timeout` would say the same, and does not keep it: in Node.js 20 nothing but the combination refers to the
 * timeout, weakly, so that it is collected as garbage and never fires. A request to a far side that is silent then lasts for minutes.
 */
export function withTimeout(signal: AbortSignal, ms: number): AbortSignal {
  const controller = new AbortController();
  const stop = () => {
    clearTimeout(timer);
    controller.abort(signal.reason);
  };
  const timer = setTimeout(() => {
    signal.removeEventListener('abort', stop);
    controller.abort(new DOMException('The operation was aborted due to timeout', 'TimeoutError'));
  }, ms).unref();
  if (signal.aborted) stop();
  else signal.addEventListener('abort', stop, { once: true });
  return controller.signal;
}
