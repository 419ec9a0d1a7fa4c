/**
 * The chart without a cluster: what it renders in six installations, held against the code that reads it, Kubernetes' own types, the rules of
 * OpenShift, and nats-server. Without helm, and none to be had, only what needs none is tested.
 */
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '@callboard/config';
import { declareTopology } from '@callboard/jetstream';
import { resolveNatsServer, runCommand, writeExternalConfig } from '@callboard/nats-server';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { parse, stringify } from 'yaml';
import { configurableOf, variablesOf } from './app-variables.js';
import { chartFiles } from './chart-files.js';
import { brokenRules } from './chart-rules.js';
import { findHelm } from './helm.js';
import { natsConfOf } from './installation.js';
import { podsOf, type Container } from './pods.js';
import { refusals } from './restricted.js';
import { APPS, CHART, inRepository, type AppName } from './repository.js';
import { SCENARIOS, folderOf, lint, manifestsOf, render, type Manifest, type Scenario } from './scenarios.js';
import { secretsIn } from './secrets.js';
import { strangers } from './strict-types.js';

const tried: string[] = [];
const helm = await findHelm({ tried });
if (!helm) process.stderr.write(`SKIPPED: the chart is not rendered, because there is no helm: ${tried.join('; ')}\n`);

const SLOW_MS = 180_000;
const scenario = (name: string): Scenario => SCENARIOS.find((one) => one.name === name)!;

describe('the files of the chart', () => {
  it('that are made from the code are those of this code', async () => {
    for (const [path, text] of await chartFiles()) {
      expect([path, await readFile(join(CHART, path), 'utf8')]).toEqual([path, text]);
    }
  });

  it('hold no secret, and neither do the scenarios', async () => {
    for (const folder of [CHART, inRepository('deploy/helm/scenarios')]) {
      const files = (await readdir(folder, { recursive: true, withFileTypes: true })).filter((file) => file.isFile());
      for (const { parentPath, name } of files) {
        expect([name, secretsIn(await readFile(join(parentPath, name), 'utf8'))]).toEqual([name, []]);
      }
    }
    expect(secretsIn('SUAGPBB3EGVEBPJ5JYNW7LJSDQPLWH7AJZBKOJDQNAZLYWUNBJMVUHQX4U')).toEqual(['the seed of an nkey']);
    expect(secretsIn('postgres://ledger:secret@db/ledger')).toEqual(['a password in a URL']);
  });

  it('explain every value of the chart', async () => {
    const readme = await readFile(join(CHART, 'README.md'), 'utf8');
    const values = parse(await readFile(join(CHART, 'values.yaml'), 'utf8')) as Record<string, unknown>;
    for (const key of Object.keys(values)) expect(readme).toContain(`\`${key}`);
  });
});

(helm ? describe : describe.skip)('the chart', () => {
  const rendered = new Map<string, Manifest[]>();
  beforeAll(async () => {
    for (const one of SCENARIOS) rendered.set(one.name, manifestsOf(await render(helm!, one)));
  }, SLOW_MS);
  const all = () => [...rendered.values()].flat();

  it.each(SCENARIOS)(
    'renders $name as it is committed, and has nothing that lint finds',
    async (one) => {
      const golden = await readFile(join(folderOf(one), 'rendered.yaml'), 'utf8');
      expect(rendered.get(one.name)).toEqual(manifestsOf(golden));
      await expect(lint(helm!, one)).resolves.toBeDefined();
    },
    SLOW_MS,
  );

  it(
    'renders what Kubernetes, OpenShift and the operators take, without a member that they do not know',
    async () => {
      expect(await strangers(all())).toEqual([]);
      const deployment = all().find(({ kind }) => kind === 'Deployment')!;
      const planted = JSON.parse(
        JSON.stringify(deployment).replace('readOnlyRootFilesystem', 'readOnlyRootFileSystem'),
      ) as Manifest;
      expect(await strangers([planted])).toEqual([expect.stringContaining('readOnlyRootFileSystem')]);
      const numbered = JSON.parse(JSON.stringify(deployment).replace('"Helm"', 'false')) as Manifest;
      expect((await strangers([numbered])).length).toBeGreaterThan(0);
    },
    SLOW_MS,
  );

  it('starts no pod that OpenShift would refuse: hooks, tests and NATS included', () => {
    const pods = podsOf(all());
    expect(new Set(pods.map(({ of }) => of.split(' ', 1)[0]))).toEqual(
      new Set(['Deployment', 'StatefulSet', 'Job', 'Pod']),
    );
    expect(pods.flatMap(refusals)).toEqual([]);
    const [pod] = structuredClone(pods);
    pod!.spec.securityContext!['runAsUser'] = 1001;
    pod!.spec.volumes!.push({ name: 'host', hostPath: { path: '/' } });
    delete pod!.spec.containers[0]!.securityContext;
    expect(refusals(pod!).length).toBeGreaterThanOrEqual(5);
  });

  it('gives each app variables that it reads, and its configuration finds them valid', async () => {
    for (const name of APPS) {
      const reads = new Set((await variablesOf(name)).map((variable) => variable.name));
      const module = (await import(inRepository(`apps/${name}/dist/config.js`))) as Record<string, new () => object>;
      for (const manifests of rendered.values()) {
        const container = containerOf(manifests, name);
        if (!container) continue;
        const env = container.env!.map(({ name, value }) => [name, value ?? VALUES_OF_SECRETS[name] ?? name] as const);
        const unread = env.map(([name]) => name).filter((name) => name.startsWith('CALLBOARD_') && !reads.has(name));
        expect([name, unread]).toEqual([name, name === 'action-runner' ? ['CALLBOARD_DEMO_DIR'] : []]);
        expect(() => loadConfig(Object.values(module)[0]!, Object.fromEntries(env))).not.toThrow();
      }
    }
  });

  it('leaves to whoever installs no variable that the chart sets from other values', async () => {
    const table = await readFile(join(CHART, 'templates', '_apps.tpl'), 'utf8');
    const own = new Set(['CALLBOARD_NATS_URL', ...(table.match(/\bCALLBOARD_[A-Z_]+/g) ?? [])]);
    for (const name of APPS) {
      const left = (await configurableOf(name)).map((variable) => variable.name);
      expect([name, left.filter((variable) => own.has(variable))]).toEqual([name, []]);
    }
  });

  it('mounts for an app the seed of its own user of NATS, and no other', () => {
    for (const { of, spec, labels } of podsOf(all())) {
      const seeds = (spec.volumes ?? []).flatMap(({ name, secret }) =>
        name === 'nats-user' ? (secret as { items: { key: string }[] }).items.map(({ key }) => key) : [],
      );
      const app = labels['app.kubernetes.io/name']!;
      if ((APPS as readonly string[]).includes(app)) expect([of, seeds]).toEqual([of, [`${app}.nk`]]);
      else expect([[], ['provisioner.nk']]).toContainEqual(seeds);
    }
  });

  it.each([
    ['replica of an app', ['apps.mcp-frontend.replica=3']],
    ['a variable that the app does not read', ['apps.mcp-frontend.config.CALLBOARD_MAX_SESIONS=3']],
    ['a duration without a unit', ['exposure.timeout=abc']],
    ['a digest that is none', ['image.digests.cli=latest']],
    ['a key of nobody', ['nats.server.users.nobody[0]=UAAAA']],
  ])('refuses a typo: %s', async (_what, set) => {
    await expect(render(helm!, scenario('minimal-dev'), '--set', set.join(','))).rejects.toThrow(
      /replica|MAX_SESIONS|timeout|cli|nobody/,
    );
  });

  it.each([
    ['nats.urls[0]=nats://elsewhere:4222', 'name one of them'],
    ['nats.server.enabled=false', 'name the servers of your NATS'],
    ['streams.replicas=3', 'no more copies than there are servers'],
    ['database.embedded=false', 'name the Secret with the URL of a PostgreSQL database'],
    ['apps.audit-writer.replicas=2', 'writers cannot share it'],
    ['exposure.type=ingress', 'exposure.host is empty'],
    ['streams.maxBytes=8589934592', 'nats.server.storage.size is 5Gi, and the streams reserve'],
    ['apps.action-runner.autoscaling.enabled=true', 'a runner without one has nothing to do'],
    ['image.registry=', 'image.registry'],
    ['secrets.ingestToken=false', 'name the sources of events'],
  ])('refuses what contradicts itself, and says the way out: %s', async (set, words) => {
    await expect(render(helm!, scenario('minimal-dev'), '--set', set)).rejects.toThrow(words);
  });

  it('refuses an app that NATS would not know', async () => {
    await expect(
      render(helm!, scenario('minimal-dev'), '--set-json', 'nats.server.users.pii-filter=[]'),
    ).rejects.toThrow('nats.server.users.pii-filter is empty');
  });

  it('lets nobody reach anybody but who must', () => {
    for (const manifests of rendered.values()) {
      const policies = manifests.filter(({ kind }) => kind === 'NetworkPolicy');
      const denied = policies.find(({ metadata }) => metadata.name.endsWith('-default-deny'))!;
      const selector = (denied['spec'] as { podSelector: { matchLabels: Record<string, string> } }).podSelector
        .matchLabels;
      for (const { of, labels } of podsOf(manifests))
        expect([of, labels]).toEqual([of, expect.objectContaining(selector)]);
      expect(denied['spec']).toMatchObject({ policyTypes: ['Ingress', 'Egress'] });
      expect(denied['spec']).not.toHaveProperty('ingress');
      expect(denied['spec']).not.toHaveProperty('egress');
    }
  });

  it('exposes front ends and ingestors alone, and in one way', () => {
    const ways = ['Route', 'Ingress', 'HTTPRoute'];
    const exposed = Object.fromEntries(
      [...rendered].map(([name, manifests]) => [
        name,
        manifests.filter(({ kind }) => ways.includes(kind)).map(({ kind, metadata }) => `${kind} ${metadata.name}`),
      ]),
    );
    const both = (kind: string) => [`${kind} callboard-event-ingestor`, `${kind} callboard-mcp-frontend`];
    expect(exposed).toEqual({
      'openshift-default': both('Route'),
      'k8s-ingress': both('Ingress'),
      'gateway-api': ['HTTPRoute callboard-mcp-frontend'],
      'external-nats': ['Route callboard-mcp-frontend'],
      'ha-r3': both('Route'),
      'minimal-dev': [],
    });
  });

  it('brings dashboards where they are wanted, each as the JSON that it is', async () => {
    const files = await readdir(join(CHART, 'files', 'observability', 'dashboards'));
    expect(files).not.toEqual([]);
    const manifests = manifestsOf(
      await render(helm!, scenario('k8s-ingress'), '--set', 'monitoring.dashboards.enabled=true'),
    );
    const dashboards = manifests.filter(({ metadata }) => metadata.name.startsWith('callboard-dashboard-'));
    expect(dashboards).toHaveLength(files.length);
    for (const { data } of dashboards as (Manifest & { data: Record<string, string> })[]) {
      for (const [file, text] of Object.entries(data)) {
        const own = await readFile(join(CHART, 'files', 'observability', 'dashboards', file), 'utf8');
        expect(JSON.parse(text)).toEqual(JSON.parse(own));
      }
    }
  });

  it('lets nodes be drained: a budget only where another replica goes on', () => {
    for (const manifests of rendered.values()) {
      const budgets = manifests
        .filter(({ kind }) => kind === 'PodDisruptionBudget')
        .map(({ metadata }) => metadata.name);
      const several = manifests
        .filter(({ kind }) => kind === 'Deployment' || kind === 'StatefulSet')
        .filter((manifest) => (manifest['spec'] as { replicas?: number }).replicas !== 1)
        .map(({ metadata }) => metadata.name);
      expect(budgets.sort()).toEqual(several.sort());
    }
  });

  it('holds the rules of the chart-verifier that can be seen without a cluster', async () => {
    expect(await brokenRules(all())).toEqual([]);
  });

  it('has an upgrade make the streams before it replaces the apps', async () => {
    const upgrade = manifestsOf(await render(helm!, scenario('ha-r3'), '--is-upgrade'));
    const hooks = upgrade.filter(({ metadata }) => metadata.annotations?.['helm.sh/hook'] === 'pre-upgrade');
    expect(hooks.map(({ kind }) => kind)).toEqual(['ConfigMap', 'Job']);
    expect(podsOf(upgrade).flatMap(refusals)).toEqual([]);
  });

  it(
    'gives nats-server a configuration that it finds valid, with the users that callboard nats config writes',
    async () => {
      const folder = await mkdtemp(join(tmpdir(), 'callboard-chart-'));
      try {
        const users = await writeExternalConfig({
          folder,
          topology: declareTopology(),
          auth: 'nkeys',
          server: { storeDir: folder },
        });
        const values = join(folder, 'users.yaml');
        const nkeys = Object.fromEntries(users.map(({ name, nkeys }) => [name, nkeys]));
        await writeFile(values, stringify({ nats: { server: { users: nkeys } } }));
        const { path: binary } = await resolveNatsServer();
        for (const name of ['minimal-dev', 'ha-r3', 'openshift-default']) {
          const manifests = manifestsOf(await render(helm!, scenario(name), '--values', values));
          const conf = natsConfOf(manifests);
          const lines = (text: string) => text.split('\n').filter((line) => /nkey:/.test(line));
          const meant = (line: string) => parse(line.trim()) as object;
          const own = lines(await readFile(join(folder, 'accounts.conf'), 'utf8'));
          expect(own).toHaveLength(users.length);
          expect(lines(conf).map(meant)).toEqual(own.map(meant));
          const file = join(folder, `${name}.conf`);
          await writeFile(file, conf.replace(/^\s*tls \{[^}]*\}$/gm, '').replaceAll('/data/jetstream', folder));
          const env = { ...process.env, POD_NAME: 'callboard-nats-0' };
          await expect(runCommand(binary, ['-t', '-c', file], { timeoutMs: 10_000, env })).resolves.toBeDefined();
        }
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    },
    SLOW_MS,
  );
});

/** What Secrets would hold, where an app looks at it. */
const KEY = Buffer.alloc(32, 1).toString('base64');
const VALUES_OF_SECRETS: Record<string, string> = {
  CALLBOARD_REQUEST_STATE_KEY: KEY,
  CALLBOARD_RESULTS_KEY: KEY,
  CALLBOARD_PSEUDONYM_KEY: KEY,
  CALLBOARD_AUDIT_SEALING_KEY: KEY,
  CALLBOARD_AUDIT_SIGNING_KEY: KEY,
};

function containerOf(manifests: readonly Manifest[], app: AppName): Container | undefined {
  return podsOf(manifests).find(({ labels }) => labels['app.kubernetes.io/name'] === app)?.spec.containers[0];
}
