import { Gauge } from 'prom-client';
import { metrics } from './ops-server.js';

/** A figure that is read when someone asks. */
export function gauge(name: string, help: string, read: () => number): void {
  new Gauge({
    name,
    help,
    registers: [metrics],
    collect() {
      this.set(read());
    },
  });
}

/** Less than a scraper waits: a figure that cannot be had must not cost all the others, least of all while NATS is away. */
const SOON_MS = 1_000;

/** What is asked for, if it comes within a second; undefined when it does not, or cannot be had. */
export function soon<T>(asked: Promise<T>): Promise<T | undefined> {
  return new Promise((resolve) => {
    const late = setTimeout(() => resolve(undefined), SOON_MS);
    asked.then(resolve, () => resolve(undefined)).finally(() => clearTimeout(late));
  });
}
