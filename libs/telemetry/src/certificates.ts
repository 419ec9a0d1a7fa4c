/** Tells until when the certificates are good that this process connects to NATS with. */
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { AppConfig } from '@callboard/config';
import { Gauge } from 'prom-client';
import { metrics } from './ops-server.js';

const PEM = /-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----/gs;

/**
 * Shows for each file that is named how many seconds are left; less than nothing when it has expired. The files are read whenever somebody asks, for
 * they are renewed while the process runs. Of several authorities, the last one to expire counts: the connection needs one. A file that cannot be
 * used is the connection's to tell, and has no figure.
 */
export function watchCertificates({ natsTlsCa, natsTlsCert }: Pick<AppConfig, 'natsTlsCa' | 'natsTlsCert'>): void {
  if (!natsTlsCa && !natsTlsCert) return;
  new Gauge({
    name: 'callboard_certificate_expires_seconds',
    help: 'Seconds until a certificate for the connection to NATS expires: our `own`, or the last of the `authorities` that are believed',
    labelNames: ['certificate'],
    registers: [metrics],
    async collect() {
      this.reset();
      const [authorities, own] = await Promise.all([expiries(natsTlsCa), expiries(natsTlsCert)]);
      const left = (at: number) => (at - Date.now()) / 1_000;
      if (authorities.length > 0) this.set({ certificate: 'authorities' }, left(Math.max(...authorities)));
      // What follows one's own in the file are those between it and an authority: it is good for as long as the first of them.
      if (own.length > 0) this.set({ certificate: 'own' }, left(Math.min(...own)));
    },
  });
}

/** When the certificates in a file expire, in milliseconds. */
async function expiries(file: string | undefined): Promise<number[]> {
  if (!file) return [];
  try {
    const pems = (await readFile(file, 'utf8')).match(PEM) ?? [];
    return pems.map((pem) => Date.parse(new X509Certificate(pem).validTo));
  } catch {
    return [];
  }
}
