/**
 * Certificates for a nats-server of our own: an authority that signs nothing but the server's certificate and those of our users. Made once
 * and kept; made again, by the same authority, when they near their end. For a server that is run by somebody else the certificates
 * come from where that installation's certificates come from.
 */
import { X509Certificate, createPrivateKey, randomBytes, webcrypto } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { X509Certificate as MadeCertificate } from '@peculiar/x509';
import { writeSecret } from './write-secret.js';

/** PEM files of one who speaks TLS. */
export interface CertificateFiles {
  certFile: string;
  keyFile: string;
}

export interface Certificates {
  caFile: string;
  server: CertificateFiles;
  users: ReadonlyMap<string, CertificateFiles>;
}

const DAY_MS = 86_400_000;
const AUTHORITY_DAYS = 3_650;
const VALID_DAYS = 397;
/** Made again when less is left. */
const LEAST_DAYS = 30;
/** A clock that is a little behind believes them all the same. */
const EARLIER_MS = 300_000;
const KEYS = { name: 'ECDSA', namedCurve: 'P-256' };
const SIGNING = { name: 'ECDSA', hash: 'SHA-256' };
const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2';

/** Loaded by who makes certificates, and by nobody else: some two hundred files. */
async function loadX509() {
  await import('reflect-metadata');
  const x509 = await import('@peculiar/x509');
  x509.cryptoProvider.set(webcrypto);
  return x509;
}

type CryptoKey = webcrypto.CryptoKey;

interface Authority {
  certificate: MadeCertificate;
  key: CryptoKey;
}

/** Makes or reads the certificates in a folder: of the server, by its `hosts`, and of every user. */
export async function issueCertificates(
  folder: string,
  users: readonly string[],
  hosts: readonly string[],
  now = Date.now(),
): Promise<Certificates> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const caFile = join(folder, 'ca.pem');
  const authority = await authorityOf(caFile, join(folder, 'ca.key'), now);
  const filesOf = (name: string) => ({ certFile: join(folder, `${name}.pem`), keyFile: join(folder, `${name}.key`) });
  const server = filesOf('server');
  // To another server of its cluster it is a client.
  await certify(authority, server, 'nats-server', { usages: [SERVER_AUTH, CLIENT_AUTH], hosts }, now);
  const files = new Map(users.map((name) => [name, filesOf(`user-${name}`)]));
  for (const [name, of] of files) await certify(authority, of, name, { usages: [CLIENT_AUTH] }, now);
  return { caFile, server, users: files };
}

async function authorityOf(certFile: string, keyFile: string, now: number): Promise<Authority> {
  const x509 = await loadX509();
  const kept = await read({ certFile, keyFile });
  if (kept && daysLeft(kept.cert, now) > VALID_DAYS) {
    const pkcs8 = createPrivateKey(kept.key).export({ type: 'pkcs8', format: 'der' });
    const key = await webcrypto.subtle.importKey('pkcs8', pkcs8, KEYS, false, ['sign']);
    return { certificate: new x509.X509Certificate(kept.cert), key };
  }
  const keys = await webcrypto.subtle.generateKey(KEYS, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serial(),
    name: `CN=Callboard NATS authority ${randomBytes(4).toString('hex')}`,
    ...validity(now, AUTHORITY_DAYS),
    signingAlgorithm: SIGNING,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
    ],
  });
  await write({ certFile, keyFile }, certificate, keys.privateKey);
  return { certificate, key: keys.privateKey };
}

/** Leaves a certificate as it is that this authority signed for these hosts, and that is good for a while. */
async function certify(
  { certificate: issuer, key }: Authority,
  files: CertificateFiles,
  name: string,
  { usages, hosts = [] }: { usages: string[]; hosts?: readonly string[] },
  now: number,
): Promise<void> {
  const kept = await read(files);
  if (kept && daysLeft(kept.cert, now) > LEAST_DAYS) {
    const certificate = new X509Certificate(kept.cert);
    const ofIssuer = certificate.verify(new X509Certificate(issuer.toString('pem')).publicKey);
    if (ofIssuer && hosts.every((host) => certificate.checkHost(host) ?? certificate.checkIP(host))) return;
  }
  const x509 = await loadX509();
  const keys = await webcrypto.subtle.generateKey(KEYS, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serial(),
    subject: `CN=${name}`,
    issuer: issuer.subject,
    ...validity(now, VALID_DAYS),
    signingAlgorithm: SIGNING,
    publicKey: keys.publicKey,
    signingKey: key,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension(usages, true),
      ...(hosts.length > 0
        ? [
            new x509.SubjectAlternativeNameExtension(
              hosts.map((value) => ({ type: /^[\d.]+$/.test(value) ? ('ip' as const) : ('dns' as const), value })),
            ),
          ]
        : []),
    ],
  });
  await write(files, certificate, keys.privateKey);
}

/** Undefined when there is none, or no whole pair: then it is made again. */
async function read({ certFile, keyFile }: CertificateFiles): Promise<{ cert: string; key: string } | undefined> {
  try {
    const [cert, key] = [await readFile(certFile, 'utf8'), await readFile(keyFile, 'utf8')];
    return new X509Certificate(cert).checkPrivateKey(createPrivateKey(key)) ? { cert, key } : undefined;
  } catch {
    return undefined;
  }
}

async function write({ certFile, keyFile }: CertificateFiles, certificate: MadeCertificate, key: CryptoKey) {
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key)).toString('base64');
  const lines = pkcs8.match(/.{1,64}/g)!.join('\n');
  await writeSecret(keyFile, `-----BEGIN PRIVATE KEY-----\n${lines}\n-----END PRIVATE KEY-----\n`);
  await writeSecret(certFile, `${certificate.toString('pem')}\n`);
}

function daysLeft(cert: string, now: number): number {
  return (Date.parse(new X509Certificate(cert).validTo) - now) / DAY_MS;
}

function validity(now: number, days: number): { notBefore: Date; notAfter: Date } {
  return { notBefore: new Date(now - EARLIER_MS), notAfter: new Date(now + days * DAY_MS) };
}

/** Positive, as the standard wants it. */
function serial(): string {
  return `00${randomBytes(15).toString('hex')}`;
}
