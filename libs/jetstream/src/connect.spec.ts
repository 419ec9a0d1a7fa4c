/** Who we are and whom we speak to, against a real nats-server that asks for certificates and knows users by nkey. */
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  freePort,
  issueCertificates,
  resolveNatsServer,
  runServer,
  writeExternalConfig,
  type Certificates,
} from '@callboard/nats-server';
import { startTestNats, waitFor } from '@callboard/testing';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { NatsConnection } from '@nats-io/transport-node';
import { connectApp, connectNats, natsOptions, onDenied, type NatsOptions } from './connect.js';
import { declareTopology } from './topology.js';

const topology = declareTopology({ partitions: 1 });
const USER = 'operator';
/** With TLS 1.3 a server refuses a client's certificate after the client believes that all is well. */
const REFUSED = /certificate|unknown ca|closed|reset|alert|timeout/i;
const SLOW_MS = 180_000;

let folder: string;
let certificates: Certificates;
let strangers: Certificates;
let port: number;
let server: Awaited<ReturnType<typeof runServer>>;
let restart: (tls: { certFile: string; keyFile: string }) => Promise<void>;
const open: NatsConnection[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'callboard-connect-'));
  certificates = await issueCertificates(join(folder, 'tls'), [USER], ['localhost', '127.0.0.1']);
  strangers = await issueCertificates(join(folder, 'strangers'), [USER], ['localhost', '127.0.0.1']);
  port = await freePort();
  const { path: binary } = await resolveNatsServer();
  restart = async (tls) => {
    await server?.stop();
    await writeExternalConfig({
      folder,
      topology,
      auth: 'nkeys',
      server: { storeDir: join(folder, 'store'), tls: { caFile: certificates.caFile, ...tls } },
    });
    const conf = join(folder, 'here.conf');
    await writeFile(conf, 'include ./server.conf\nhost: 127.0.0.1\n' + `port: ${port}\n`);
    server = await runServer({ binary }, conf);
  };
  await restart(certificates.server);
});
afterAll(async () => {
  await Promise.all(open.map((nc) => nc.close()));
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

const seed = () => join(folder, 'users', `${USER}.nk`);

function optionsOf(more: Partial<NatsOptions> = {}): NatsOptions {
  return {
    servers: `tls://127.0.0.1:${port}`,
    user: USER,
    name: 'spec',
    nkeyFile: seed(),
    tls: { caFile: certificates.caFile, ...certificates.users.get(USER)! },
    ...more,
  };
}

async function connected(options: NatsOptions): Promise<NatsConnection> {
  const nc = await connectNats(options);
  open.push(nc);
  return nc;
}

/** Why a connection cannot be made. */
async function firstReason(options: NatsOptions): Promise<string> {
  const enough = new AbortController();
  let reason = '';
  const onRefused = ({ message }: Error) => {
    reason = message;
    enough.abort();
  };
  await expect(connectNats({ ...options, onRefused, signal: enough.signal })).rejects.toThrow(/abort/);
  return reason;
}

describe('a connection to NATS', () => {
  it('is made with an nkey and certificates of both sides', async () => {
    const nc = await connected(optionsOf());
    expect(nc.info?.tls_required).toBe(true);
    await expect(nc.flush()).resolves.toBeUndefined();
  });

  it('is not made with a server whose certificate another authority signed', async () => {
    const reason = await firstReason(optionsOf({ tls: { ...optionsOf().tls, caFile: strangers.caFile } }));
    expect(reason).toMatch(/unable to verify|self.signed|unable to get/i);
  });

  it('is not made with a server whose certificate names another host', async () => {
    const elsewhere = await issueCertificates(join(folder, 'tls', 'elsewhere'), [], ['nats.example.org']);
    const { path: binary } = await resolveNatsServer();
    const conf = join(folder, 'elsewhere.conf');
    const [here] = [await freePort()];
    await writeFile(
      conf,
      `host: 127.0.0.1\nport: ${here}\ntls { cert_file: "${elsewhere.server.certFile}", key_file: "${elsewhere.server.keyFile}" }\n`,
    );
    const other = await runServer({ binary }, conf);
    try {
      for (const host of ['127.0.0.1', 'localhost']) {
        const reason = await firstReason({
          servers: `tls://${host}:${here}`,
          user: USER,
          name: 'spec',
          tls: { caFile: elsewhere.caFile },
        });
        expect(reason).toMatch(/does not match certificate/);
      }
    } finally {
      await other.stop();
    }
  });

  it(
    'is not made without a certificate of ours where the server asks for one',
    async () => {
      expect(await firstReason(optionsOf({ tls: { caFile: certificates.caFile } }))).toMatch(REFUSED);
      const foreign = { caFile: certificates.caFile, ...strangers.users.get(USER)! };
      expect(await firstReason(optionsOf({ tls: foreign }))).toMatch(REFUSED);
    },
    SLOW_MS,
  );

  it('is not made as nobody, nor with a seed that the server does not know', async () => {
    const { nkeyFile: _, ...nobody } = optionsOf();
    expect(await firstReason(nobody)).toMatch(/authorization violation/i);
    const unknown = join(folder, 'unknown');
    await mkdir(unknown);
    await writeExternalConfig({ folder: unknown, topology, auth: 'nkeys', server: { storeDir: unknown } });
    const nkeyFile = join(unknown, 'users', `${USER}.nk`);
    expect(await firstReason(optionsOf({ nkeyFile }))).toMatch(/authorization violation/i);
  });

  it('is not made in the clear once TLS was asked for', async () => {
    const plain = await startTestNats({ auth: 'none', topology: { partitions: 1 } });
    try {
      const reason = await firstReason({
        servers: plain.url,
        user: USER,
        name: 'spec',
        tls: { caFile: certificates.caFile },
      });
      expect(reason).toMatch(/does not support 'tls'/);
      expect(await firstReason({ servers: plain.url.replace('nats:', 'tls:'), user: USER, name: 'spec' })).toMatch(
        /does not support 'tls'/,
      );
    } finally {
      await plain.dispose();
    }
  });

  it('takes certificates and a seed that were renewed on disk at the next connect', async () => {
    const own = join(folder, 'renewed');
    await mkdir(own);
    const files = { caFile: join(own, 'ca'), certFile: join(own, 'cert'), keyFile: join(own, 'key') };
    const nkeyFile = join(own, 'seed');
    await copyFile(seed(), nkeyFile);
    const put = async ({ caFile }: Certificates, { certFile, keyFile }: { certFile: string; keyFile: string }) => {
      await copyFile(caFile, files.caFile);
      await copyFile(certFile, files.certFile);
      await copyFile(keyFile, files.keyFile);
    };
    await put(certificates, certificates.users.get(USER)!);
    const nc = await connected(optionsOf({ tls: files, nkeyFile }));
    const back = (async () => {
      for await (const { type } of nc.status()) if (type === 'reconnect') return;
    })();

    // Another authority altogether, and another seed.
    const before = certificates;
    certificates = strangers;
    await put(strangers, strangers.users.get(USER)!);
    await server.stop();
    await writeExternalConfig({
      folder,
      topology,
      auth: 'nkeys',
      server: { storeDir: join(folder, 'store') },
      rotate: [USER],
    });
    await writeExternalConfig({
      folder,
      topology,
      auth: 'nkeys',
      server: { storeDir: join(folder, 'store') },
      retire: [USER],
    });
    await copyFile(seed(), nkeyFile);
    await restart(strangers.server);
    await back;
    await expect(nc.flush()).resolves.toBeUndefined();
    certificates = before;
    await restart(certificates.server);
    await put(certificates, certificates.users.get(USER)!);
  });

  it('begins with TLS where the server does', async () => {
    const { path: binary } = await resolveNatsServer();
    const conf = join(folder, 'first.conf');
    const here = await freePort();
    const { certFile, keyFile } = certificates.server;
    await writeFile(
      conf,
      `host: 127.0.0.1\nport: ${here}\ntls { cert_file: "${certFile}", key_file: "${keyFile}", handshake_first: true }\n`,
    );
    const first = await runServer({ binary }, conf);
    try {
      const nc = await connectNats({
        servers: `tls://127.0.0.1:${here}`,
        user: USER,
        name: 'spec',
        tls: { caFile: certificates.caFile, handshakeFirst: true },
      });
      await nc.flush();
      await nc.close();
    } finally {
      await first.stop();
    }
  });
});

describe('what an app is told', () => {
  const url = { natsUrl: 'nats://127.0.0.1:1', instance: 'spec' };

  it('is which variables contradict each other', () => {
    expect(() => natsOptions({ ...url, natsCreds: 'a', natsNkey: 'b' })).toThrow(
      /CALLBOARD_NATS_CREDS and CALLBOARD_NATS_NKEY are both set/,
    );
    expect(() => natsOptions({ ...url, natsTlsKey: 'b' })).toThrow(
      /CALLBOARD_NATS_TLS_CERT and CALLBOARD_NATS_TLS_KEY/,
    );
  });

  it('is at once which file cannot be used, without a word of what is in it', async () => {
    const bad = join(folder, 'bad');
    const text = 'SUAGNOTASEED-CANARY';
    await writeFile(bad, text);
    const { certFile, keyFile } = certificates.server;
    for (const [variables, message] of [
      [{ natsCreds: join(folder, 'nowhere') }, 'is not there'],
      [{ natsCreds: bad }, 'does not hold credentials'],
      [{ natsNkey: bad }, 'does not hold the seed of an nkey'],
      [{ natsTlsCert: certFile, natsTlsKey: bad }, 'does not hold a certificate and its key'],
      [{ natsTlsCert: bad, natsTlsKey: keyFile }, 'does not hold a certificate and its key'],
    ] as const) {
      const failing = connectApp(USER, { ...url, ...variables });
      await expect(failing).rejects.toThrow(message);
      await expect(failing).rejects.not.toThrow('CANARY');
    }
  });

  it('is why there is no connection yet, once, and what its user lacks', async () => {
    const lines: [object, string][] = [];
    const log = { warn: (fields: object, message: string) => void lines.push([fields, message]) };
    const config = {
      natsUrl: `tls://127.0.0.1:${port}`,
      natsNkey: seed(),
      natsTlsCa: certificates.caFile,
      natsTlsCert: certificates.users.get(USER)!.certFile,
      natsTlsKey: certificates.users.get(USER)!.keyFile,
      instance: 'spec',
    };
    await server.stop();
    const connecting = connectApp(USER, config, log);
    await waitFor(() => lines.length > 0, { what: 'a line' });
    await restart(certificates.server);
    const nc = await connecting;
    open.push(nc);
    expect(lines).toEqual([[{ err: expect.any(Error) }, 'NATS cannot be reached yet; trying again']]);
    const denied = new Promise((resolve) => onDenied(nc, resolve));
    nc.publish('evt.acme.denied');
    await denied;
    expect(lines[1]).toEqual([
      { operation: 'publish', subject: 'evt.acme.denied' },
      'NATS denied what this app may not do: its user lacks a permission',
    ]);
  });
});
