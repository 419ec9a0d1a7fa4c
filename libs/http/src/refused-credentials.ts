import { metrics } from '@callboard/telemetry';
import { Counter } from 'prom-client';

const refusedCredentials = new Counter({
  name: 'callboard_credentials_refused_total',
  help: 'Requests refused for their credentials, or for having none',
  labelNames: ['why'],
  registers: [metrics],
});

/** @param why a few words of ours that hold nothing of the token */
export function countRefused(why: string): void {
  refusedCredentials.inc({ why });
}
