import { startStack, type TestStack, type TestStackOptions } from '@callboard/testing';

/** What became of the stack that a run was made with. */
export interface StackEnd {
  /** Why the stack did not drain and stop cleanly at the end, if it did not. */
  stopFailure: string | undefined;
  /** What the stack printed last. */
  output: string;
}

/**
 * Starts a stack, has it looked at, and stops it.
 * @throws Error with what the stack said last, when the run broke off.
 */
export async function withinStack<T>(
  options: TestStackOptions,
  run: (stack: TestStack) => Promise<T>,
): Promise<T & StackEnd> {
  const stack = await startStack(options);
  let seen: T;
  try {
    seen = await run(stack);
  } catch (error) {
    await stack.stop();
    throw new Error(`the run broke off; the stack said last:\n${stack.output()}`, { cause: error });
  }
  const stopFailure = await stack.stop().then(
    () => undefined,
    (error: Error) => error.message,
  );
  return { ...seen, stopFailure, output: stack.output() };
}

export function rejectedOn(signal: AbortSignal | undefined): Promise<never> {
  return new Promise((_, reject) => signal?.addEventListener('abort', () => reject(new Error('interrupted'))));
}
