/** The certificates of a stack's NATS: those that its servers show, and our own files. An expired one lets nobody in; one that is about to will. */
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { NatsTls } from '@callboard/jetstream';
import { messageOf } from '../failure.js';
import type { StackAddress } from '../running-stack.js';
import { failed, ok, warning, type Finding } from './finding.js';

const DAY_MS = 86_400_000;
const SOON_DAYS = 14;
const TIMEOUT_MS = 3_000;
const NATS_PORT = 4222;

export async function checkCertificates({ nats_url, nats_users }: StackAddress): Promise<Finding[]> {
  const tls = nats_users['sre']?.tls;
  const servers = nats_url.split(',').map((url) => new URL(url.trim()));
  if (!tls && !servers.some(({ protocol }) => protocol === 'tls:')) return [];
  const findings = await Promise.all(
    servers.map(async ({ hostname, port, host }) => {
      const shown = await shownBy(hostname, Number(port || NATS_PORT), tls ?? {}).catch((error: unknown) =>
        messageOf(error),
      );
      if (typeof shown === 'string') {
        const fix = 'is a server there, and does it have TLS?';
        return [warning('certificates', 'certificate_not_seen', `${host} shows none: ${shown}`, fix)];
      }
      return [lifeOf(`that of ${host}`, shown)];
    }),
  );
  for (const path of [tls?.caFile, tls?.certFile]) {
    if (path === undefined) continue;
    const certificate = await readFile(path)
      .then((pem) => new X509Certificate(pem))
      .catch(() => undefined);
    // A file that cannot be used is a finding of the connection.
    if (certificate) findings.push([lifeOf(path, certificate)]);
  }
  return findings.flat();
}

function lifeOf(name: string, certificate: X509Certificate): Finding {
  const days = Math.floor((Date.parse(certificate.validTo) - Date.now()) / DAY_MS);
  const until = new Date(certificate.validTo).toISOString();
  const fix = 'renew it, and reload the servers: a client takes a renewed file at its next connect';
  if (days < 0) return failed('certificates', 'certificate_expired', `${name} has expired, at ${until}`, fix);
  const finding = `${name} is good for ${days} days, until ${until}`;
  if (days < SOON_DAYS) return warning('certificates', 'certificate_expires', finding, fix);
  return ok('certificates', finding);
}

/** What a server shows, whoever signed it: that is the connection's to judge. */
async function shownBy(host: string, port: number, tls: NatsTls): Promise<X509Certificate> {
  const socket = connectTcp({ host, port });
  socket.setTimeout(TIMEOUT_MS, () => socket.destroy(new Error('no answer')));
  try {
    // The first word of a server is in the clear, unless it is told to begin with TLS.
    await (tls.handshakeFirst ? once(socket, 'connect') : once(socket, 'data'));
    const own =
      tls.certFile && tls.keyFile ? { cert: await readFile(tls.certFile), key: await readFile(tls.keyFile) } : {};
    const secure = connectTls({ socket, rejectUnauthorized: false, ...own });
    await once(secure, 'secureConnect');
    const certificate = secure.getPeerX509Certificate();
    if (!certificate) throw new Error('no certificate');
    return certificate;
  } finally {
    socket.destroy();
  }
}

function once(socket: Socket, event: 'connect' | 'data' | 'secureConnect'): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once(event, () => resolve());
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('the connection was ended')));
  });
}
