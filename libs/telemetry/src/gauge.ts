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
