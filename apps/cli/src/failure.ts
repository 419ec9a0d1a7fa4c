/** An expected end of a command: its message says what is wrong and the way out, and is all that the user sees. */
export class Failure extends Error {
  override readonly name = 'Failure';
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
