/** Which log lines of its processes the supervisor repeats on the terminal: warnings and errors, briefly, and not without end. */

const WINDOW_MS = 10_000;
const LINES_PER_WINDOW = 10;

interface AppLine {
  level: string;
  message?: string;
  err?: { name?: string; message?: string };
}

/** What a line says to a person at the terminal, or nothing when it is not for them. */
export function worthEchoing(line: string): string | undefined {
  const nats = /^\[\d+\] \S+ \S+ \[([A-Z]{3})\] (.*)$/.exec(line);
  if (nats) return nats[1] === 'INF' ? undefined : nats[2];
  if (!line.startsWith('{')) return line.trim() === '' ? undefined : line;
  try {
    const { level, message = '', err } = JSON.parse(line) as AppLine;
    if (level !== 'warn' && level !== 'error' && level !== 'fatal') return undefined;
    return err ? `${message}: ${err.name ?? 'error'}: ${err.message ?? ''}` : message;
  } catch {
    return line;
  }
}

/** Repeats at most so many lines in a while, then says once that there are more. */
export class Echo {
  #windowStartedAt = 0;
  #lines = 0;

  constructor(
    private readonly instance: string,
    private readonly logPath: string,
    private readonly say: (line: string) => void,
  ) {}

  line(text: string): void {
    const now = Date.now();
    if (now - this.#windowStartedAt > WINDOW_MS) {
      this.#windowStartedAt = now;
      this.#lines = 0;
    }
    this.#lines += 1;
    if (this.#lines <= LINES_PER_WINDOW) this.say(`[${this.instance}] ${text}`);
    else if (this.#lines === LINES_PER_WINDOW + 1) this.say(`[${this.instance}] more in ${this.logPath}`);
  }
}
