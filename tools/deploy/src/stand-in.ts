/**
 * Bases of images where none can be fetched: Node of this machine with the libraries that it loads, a shell and `rm` for the build, the authorities of
 * this machine, and nothing else; and a nats-server alone. They stand in for UBI in tests. Nobody installs them.
 */
import { cp, mkdir, rm, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { runCommand } from '@callboard/nats-server';

const TIMEOUT_MS = 10_000;

/** Writes a folder from which `FROM scratch` can be built, as Containerfile and files. */
export async function writeNodeBase(folder: string): Promise<void> {
  await fresh(folder);
  for (const program of [process.execPath, '/bin/sh', '/bin/rm']) {
    const as = program === process.execPath ? '/usr/bin/node' : program;
    await put(program, folder, as);
    for (const library of await librariesOf(program)) await put(library, folder, library);
  }
  if (existsSync('/etc/ssl/certs/ca-certificates.crt')) {
    await put('/etc/ssl/certs/ca-certificates.crt', folder, '/etc/ssl/certs/ca-certificates.crt');
  }
  await mkdir(join(folder, 'rootfs', 'tmp'), { recursive: true });
  await containerfile(folder, ['ENV PATH=/usr/bin:/bin HOME=/opt/app-root/src', 'USER 1001']);
}

/** The same of a nats-server, which needs no library. */
export async function writeNatsImage(folder: string, binary: string): Promise<void> {
  await fresh(folder);
  await put(binary, folder, '/usr/bin/nats-server');
  for (const library of await librariesOf(binary)) await put(library, folder, library);
  await containerfile(folder, ['ENV PATH=/usr/bin', 'USER 1001', 'ENTRYPOINT ["nats-server"]']);
}

async function fresh(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
  await mkdir(join(folder, 'rootfs'), { recursive: true });
}

async function put(from: string, folder: string, as: string): Promise<void> {
  const to = join(folder, 'rootfs', as);
  await mkdir(dirname(to), { recursive: true });
  await cp(from, to, { dereference: true });
}

function containerfile(folder: string, lines: string[]): Promise<void> {
  return writeFile(join(folder, 'Containerfile'), ['FROM scratch', 'COPY rootfs /', ...lines, ''].join('\n'));
}

async function librariesOf(program: string): Promise<string[]> {
  const said = await runCommand('ldd', [program], { timeoutMs: TIMEOUT_MS }).catch(() => '');
  return [...said.matchAll(/(\/\S+) \(0x/g)].map(([, path]) => path!);
}
