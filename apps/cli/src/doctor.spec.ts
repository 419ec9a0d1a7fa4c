/**
 * Mistakes that are planted in an installation, each found by `callboard doctor` with its way out: on a real nats-server that others run, a real
 * OpenID provider and a real PostgreSQL. No app of ours runs.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect as connectTcp, createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  STREAM,
  applyTopology,
  connectNats,
  declareTopology,
  partitionConsumerName,
  type Topology,
} from '@callboard/jetstream';
import { PostgresDatabase, migrate } from '@callboard/ledger';
import { freePort, issueCertificates, resolveNatsServer, runServer } from '@callboard/nats-server';
import { startTestIssuer, startTestPostgres } from '@callboard/testing';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { AckPolicy, jetstreamManager } from '@nats-io/jetstream';
import { nanos, type NatsConnection } from '@nats-io/transport-node';
import { examine } from './commands/doctor.js';
import type { Finding } from './doctor/finding.js';
import { refusalOf } from './doctor/nats.js';
import { roomFindings } from './doctor/streams.js';
import { callboard, callboardWith } from './spec-callboard.js';

const SLOW_MS = 180_000;
const DAY_MS = 86_400_000;
const MIB = 1024 ** 2;
const CONFIG = `streams: { partitions: 1, max_bytes: ${MIB} }\n`;
const topology = declareTopology({ partitions: 1, maxBytes: MIB });

let folder: string;
let config: string;
let url: string;
let server: Awaited<ReturnType<typeof runServer>>;
let start: () => Promise<void>;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'callboard-doctor-'));
  config = join(folder, 'callboard.yaml');
  await writeFile(config, CONFIG);
  const nats = join(folder, 'nats');
  await callboard('nats', 'config', nats, '--no-tls', '--store-dir', join(folder, 'store'), '--config', config);
  const port = await freePort();
  const file = join(nats, 'spec.conf');
  await writeFile(file, `include ./server.conf\nhost: 127.0.0.1\nport: ${port}\n`);
  const { path: binary } = await resolveNatsServer();
  start = async () => void (server = await runServer({ binary }, file));
  await start();
  url = `nats://127.0.0.1:${port}`;
  const withoutHeld: Topology = {
    ...topology,
    streams: topology.streams.filter((stream) => stream.config.name !== STREAM.eventsHeld),
  };
  await as('provisioner', (nc) => applyTopology(nc, withoutHeld));
  // As a runner does that owns the partition: else each run would wait for one.
  await as('sre', async (nc) => {
    const jsm = await jetstreamManager(nc, { checkAPI: false });
    await jsm.consumers.add(STREAM.commands, {
      name: partitionConsumerName(0),
      ack_policy: AckPolicy.None,
      inactive_threshold: nanos(600_000),
    });
  });
}, SLOW_MS);
afterAll(async () => {
  await server?.stop();
  await rm(folder, { recursive: true, force: true });
});

async function as<T>(user: string, use: (nc: NatsConnection) => Promise<T>): Promise<T> {
  const nkeyFile = join(folder, 'nats', 'users', `${user}.nk`);
  const nc = await connectNats({ servers: url, user, nkeyFile, name: 'spec' });
  try {
    return await use(nc);
  } finally {
    await nc.close();
  }
}

/** All findings, where the variables of the installation are these. */
async function findings(variables: Record<string, string> = {}, file = config): Promise<Finding[]> {
  const context = join(folder, 'context.env');
  const all = { CALLBOARD_NATS_URL: url, CALLBOARD_NATS_USERS: join(folder, 'nats', 'users'), ...variables };
  await writeFile(
    context,
    Object.entries(all)
      .map((pair) => pair.join('='))
      .join('\n'),
  );
  return examine({ dataDir: join(folder, 'none'), external: false, context, config: file });
}

/** Those that are not well, by what is the matter. */
async function wrong(variables?: Record<string, string>, file?: string): Promise<Map<string, Finding>> {
  const bad = (await findings(variables, file)).filter(({ status }) => status !== 'ok');
  // Nobody is told what is wrong without the way out.
  expect(bad.filter(({ fix }) => !fix)).toEqual([]);
  return new Map(bad.map((finding) => [finding.code, finding]));
}

describe('callboard doctor', () => {
  it('finds a stream that is missing, and nothing of it when it was made', async () => {
    const before = await wrong();
    expect(before.get('stream_missing')).toMatchObject({
      status: 'failed',
      finding: expect.stringContaining(STREAM.eventsHeld),
      fix: expect.stringContaining('callboard streams apply'),
    });
    await as('provisioner', (nc) => applyTopology(nc, topology));
    // No app runs here, and that is all that is left.
    expect([...(await wrong()).keys()]).toEqual(['audit_writer_silent']);
  });

  it('finds a stream that is not as declared, and says whether it can be mended', async () => {
    await as('provisioner', async (nc) => {
      const jsm = await jetstreamManager(nc, { checkAPI: false });
      await jsm.streams.update(STREAM.audit, { max_bytes: 2 * MIB });
    });
    expect((await wrong()).get('stream_differs')).toMatchObject({
      finding: `AUDIT: max_bytes is ${2 * MIB}, declared ${MIB}`,
      fix: 'callboard streams apply mends it',
    });
    await as('provisioner', (nc) => applyTopology(nc, topology));
  });

  it('finds other partitions than are configured', async () => {
    const other = join(folder, 'other.yaml');
    await writeFile(other, CONFIG.replace('partitions: 1', 'partitions: 8'));
    expect((await wrong({}, other)).get('partitions_differ')).toMatchObject({
      finding: expect.stringContaining('COMMANDS has 1 partitions, and 8 are configured'),
    });
  });

  it('finds a stream that is full, and an account that is', async () => {
    await as('sre', async (nc) => {
      const command = `cmd.acme.demo.echo.key.c_`;
      for (let i = 0; i < 9; i++) await nc.request(command + i, 'x'.repeat(100_000));
    });
    expect((await wrong()).get('stream_full')).toMatchObject({
      check: 'COMMANDS',
      status: 'failed',
      finding: expect.stringContaining('calls are refused'),
    });
    expect(roomFindings(99.5 * MIB, 100 * MIB)).toMatchObject([{ status: 'failed', code: 'storage_full' }]);
    expect(roomFindings(81 * MIB, 100 * MIB)).toMatchObject([{ status: 'warning', code: 'storage_nearly_full' }]);
    expect(roomFindings(MIB, -1)).toEqual([]);
  });

  it('finds too little space on the disk of the data dir', async () => {
    const huge = join(folder, 'huge.yaml');
    await writeFile(huge, `${CONFIG}nats: { min_free_bytes: ${1024 ** 5} }\n`);
    const here = await examine({ dataDir: join(folder, 'none'), external: false, config: huge });
    expect(here).toContainEqual(
      expect.objectContaining({ check: 'data dir', code: 'disk_full', fix: expect.stringContaining('make room') }),
    );
  });

  it('finds a user that may less, and one that may more, than is declared', async () => {
    const accounts = join(folder, 'nats', 'accounts.conf');
    const written = await readFile(accounts, 'utf8');
    const changed = written.split('\n').map((line, i, lines) => {
      if (lines[i - 1]?.includes('# notifier')) return line.replace('"$KV.DIGESTS.>",', '');
      return lines[i - 1]?.includes('# eda') ? line.replace('"allow":[', '"allow":["cmd.>",') : line;
    });
    expect(changed.join('\n')).not.toBe(written);
    await server.stop();
    await writeFile(accounts, changed.join('\n'));
    await start();
    const { finding } = (await wrong()).get('permissions_differ')!;
    expect(finding).toContain('notifier may not publish $KV.DIGESTS.>');
    expect(finding).toContain('eda may publish cmd.>');
    await server.stop();
    await writeFile(accounts, written);
    await start();
  });

  it('finds a user whom the server does not know, and a server that is not there', async () => {
    const strangers = join(folder, 'strangers');
    await callboard('nats', 'config', strangers, '--no-tls');
    const found = await wrong({ CALLBOARD_NATS_USERS: join(strangers, 'users') });
    expect(found.get('user_not_known')).toMatchObject({ fix: expect.stringContaining('accounts.conf') });
    const away = await wrong({ CALLBOARD_NATS_URL: `nats://127.0.0.1:${await freePort()}` });
    expect(away.get('nats_unreachable')).toMatchObject({ status: 'failed' });
    expect(refusalOf("'Authentication Timeout'").code).toBe('nats_slow');
  });

  it('finds a nats-server that is too old', async () => {
    const { hostname, port } = new URL(url);
    const old = createServer((client) => {
      const far = connectTcp(Number(port), hostname);
      // It tells its version again when a client is in.
      far.on('data', (data) => {
        client.write(data.toString('latin1').replace(/"version":"[^"]*"/, '"version":"2.9.10"'), 'latin1');
      });
      client.pipe(far);
      for (const socket of [client, far]) socket.on('error', () => [client, far].forEach((one) => one.destroy()));
    });
    await new Promise<void>((resolve) => old.listen(0, '127.0.0.1', resolve));
    try {
      const found = await wrong({ CALLBOARD_NATS_URL: `nats://127.0.0.1:${(old.address() as AddressInfo).port}` });
      expect(found.get('nats_too_old')).toMatchObject({
        status: 'failed',
        finding: 'nats-server 2.9.10; 2.14.0 or newer is needed',
      });
    } finally {
      await new Promise((resolve) => old.close(resolve));
    }
  });

  it('finds a clock that does not go with that of the server', async () => {
    const late = join(folder, 'late.mjs');
    const minute = `const Real = Date; globalThis.Date = class extends Real {
      constructor(...args) { if (args.length === 0) super(Real.now() - 60_000); else super(...args); }
      static now() { return Real.now() - 60_000; } };`;
    await writeFile(late, minute);
    const env = { NODE_OPTIONS: `--import=${late}`, CALLBOARD_NATS_URL: url };
    const nkey = { CALLBOARD_NATS_USERS: join(folder, 'nats', 'users') };
    const ran = await callboardWith({ ...env, ...nkey }, 'doctor', '--external', '--json', '--config', config);
    const report = JSON.parse(ran.stdout) as { ok: boolean; findings: Finding[] };
    expect({ code: ran.code, ok: report.ok }).toEqual({ code: 1, ok: false });
    const skew = report.findings.find(({ code }) => code === 'clock_skew');
    expect(skew).toMatchObject({ status: 'failed', fix: expect.stringContaining('NTP') });
    expect(skew!.finding).toMatch(/nats-server is (59|60)\d{3} ms ahead of this machine/);
  });

  it('finds certificates that have expired, and those that soon will', async () => {
    const { path: binary } = await resolveNatsServer();
    const shown = async (name: string, issuedAt: number) => {
      const { server: pair, caFile } = await issueCertificates(join(folder, name), [], ['127.0.0.1'], issuedAt);
      const port = await freePort();
      const conf = join(folder, `${name}.conf`);
      const tls = `tls { cert_file: "${pair.certFile}", key_file: "${pair.keyFile}" }`;
      await writeFile(conf, `host: 127.0.0.1\nport: ${port}\n${tls}\n`);
      const own = await runServer({ binary }, conf);
      try {
        return await wrong({ CALLBOARD_NATS_URL: `tls://127.0.0.1:${port}`, CALLBOARD_NATS_TLS_CA: caFile });
      } finally {
        await own.stop();
      }
    };
    const expired = await shown('expired', Date.now() - 400 * DAY_MS);
    expect(expired.get('certificate_expired')).toMatchObject({
      status: 'failed',
      fix: expect.stringContaining('renew'),
    });
    const soon = await shown('soon', Date.now() - 390 * DAY_MS);
    expect(soon.get('certificate_expires')).toMatchObject({
      status: 'warning',
      finding: expect.stringMatching(/that of 127\.0\.0\.1:\d+ is good for [67] days/),
    });
  });

  it('finds an issuer that does not answer, and one that goes by another name', async () => {
    const issuer = await startTestIssuer({ user: 'ada', claims: {}, scopes: [] });
    const away = `http://127.0.0.1:${await freePort()}`;
    const another = issuer.url.replace('127.0.0.1', 'localhost');
    const access = join(folder, 'access.yaml');
    const entries = [issuer.url, another, away].map((name) => `  - { issuer: '${name}', tenant: acme }`).join('\n');
    await writeFile(access, `public_url: http://127.0.0.1:3333\nissuers:\n${entries}\n`);
    try {
      const told = (await findings({ CALLBOARD_ACCESS: access })).filter(({ check }) => check === 'issuer');
      expect(told).toMatchObject([
        { status: 'ok', finding: expect.stringMatching(/answers, with \d+ keys$/) },
        { code: 'issuer_bad', finding: expect.stringContaining('goes by another name') },
        { code: 'issuer_bad', finding: expect.stringContaining('ECONNREFUSED') },
      ]);
    } finally {
      await issuer.stop();
    }
  });

  it('finds a Backstage that cannot be reached', async () => {
    const adapters = join(folder, 'adapters.yaml');
    const away = `http://127.0.0.1:${await freePort()}`;
    await writeFile(
      adapters,
      `backstages: [{ name: main, url: '${away}', token: '\${SPEC_TOKEN}', plugins: [catalog] }]\n`,
    );
    expect(
      (await wrong({ CALLBOARD_ADAPTERS: adapters, SPEC_TOKEN: 'none' })).get('backstage_unreachable'),
    ).toMatchObject({
      check: 'Backstage main',
      finding: expect.stringContaining(away),
    });
  });

  it(
    'finds a database of the ledger that is empty, and wrong grants in it',
    async () => {
      const postgres = await startTestPostgres();
      const owner = new PostgresDatabase(postgres.url);
      const login = postgres.url.replace('callboard@', 'ledger@');
      const found = async () => wrong({ CALLBOARD_AUDIT_DATABASE_URL: login });
      try {
        await owner.query('CREATE ROLE ledger LOGIN');
        expect((await found()).get('database_empty')).toMatchObject({ fix: expect.stringContaining('audit migrate') });
        await migrate(owner);
        expect((await found()).get('database_grants')).toMatchObject({
          fix: 'GRANT callboard_audit_writer TO ledger',
        });
        await owner.query('GRANT callboard_audit_writer TO ledger');
        expect([...(await found()).keys()].filter((code) => code.startsWith('database'))).toEqual([]);
        await owner.query('REVOKE INSERT ON audit_records FROM callboard_audit_writer');
        await owner.query('GRANT DELETE ON audit_checkpoints TO callboard_audit_writer');
        const { finding } = (await found()).get('database_grants')!;
        expect(finding).toContain('may not INSERT audit_records');
        expect(finding).toContain('may DELETE audit_checkpoints');
        const gone = postgres.url.replace(/:\d+\//, `:${await freePort()}/`);
        expect((await wrong({ CALLBOARD_AUDIT_DATABASE_URL: gone })).has('database_unreachable')).toBe(true);
      } finally {
        await owner.close();
        await postgres.dispose();
      }
    },
    SLOW_MS,
  );

  it('finds an audit writer that is behind', async () => {
    await as('audit-writer', async (nc) => {
      nc.subscribe('ctl.audit-writer.status', {
        callback: (_, message) => {
          message.respond(JSON.stringify({ ok: true, answer: { written: 1, stream: 20_001, anchored: 1 } }));
        },
      });
      await nc.flush();
      expect((await wrong()).get('audit_behind')).toMatchObject({ finding: '20000 records not in the ledger yet' });
    });
  });

  it('takes a warning for a failure only when it is told so, and tells a person the way out', async () => {
    const env = { CALLBOARD_NATS_URL: url, CALLBOARD_NATS_USERS: join(folder, 'nats', 'users') };
    const ran = await callboardWith(env, 'doctor', '--external', '--config', config);
    expect(ran).toMatchObject({ code: 1, stderr: expect.stringContaining('callboard: not healthy: ') });
    expect(ran.stdout).toMatch(/^failed {3}audit writer: none answers\n {9}-> start one/m);
  });
});
