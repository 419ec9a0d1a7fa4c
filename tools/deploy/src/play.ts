/**
 * Plays what a chart renders with `podman kube play`, and is to it what a cluster would be: the SCC that chooses a user and a group, the controllers
 * that make pods of Deployments, StatefulSets and Jobs, DNS (entries in each pod's hosts file), and the kubelet that asks the probes.
 *
 * Podman 4 reads a Secret's variable and its volume in two ways, so Secrets are handed over as ConfigMaps; what pods see is the same. It has no
 * volumes that a group may write to, so those are folders of this machine.
 */
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { stringify } from 'yaml';
import type { Installation } from './installation.js';
import type { Podman } from './podman.js';
import type { Container, PodSpec } from './pods.js';
import type { Manifest } from './scenarios.js';

/** Of the range of a namespace of OpenShift: a user that is in no image. */
export const SOME_USER = 1_000_680_000;
const NETWORK = 'callboard-verify';
const SUBNET = '10.253.7';
const READY_MS = 90_000;
const DONE_MS = 120_000;

export interface PlayedPod {
  name: string;
  /** `app.kubernetes.io/name`. */
  app: string;
  ip: string;
  spec: PodSpec;
}

interface Template {
  metadata: Manifest['metadata'];
  spec: PodSpec;
}

export class PlayedInstallation {
  readonly pods: PlayedPod[] = [];
  #hosts: { ip: string; hostnames: string[] }[] = [];

  constructor(
    private readonly podman: Podman,
    private readonly installation: Installation,
    private readonly folder: string,
  ) {}

  /** Gives every pod its address, and every Service the address of a pod of it. */
  async open(): Promise<void> {
    await this.podman.run(['network', 'rm', '--force', NETWORK]).catch(() => '');
    await this.podman.run(['network', 'create', '--disable-dns', '--subnet', `${SUBNET}.0/24`, NETWORK]);
    const { manifests } = this.installation;
    for (const { kind, metadata, spec } of manifests as (Manifest & {
      spec: { replicas?: number; template: Template };
    })[]) {
      if (kind !== 'Deployment' && kind !== 'StatefulSet') continue;
      for (let i = 0; i < (spec.replicas ?? 1); i++) this.#add(`${metadata.name}-${i}`, spec.template);
    }
    for (const { kind, metadata, spec } of manifests as (Manifest & { spec: { template: Template } & PodSpec })[]) {
      if (kind === 'Job') this.#add(metadata.name, spec.template);
      if (kind === 'Pod') this.#add(metadata.name, { metadata, spec });
    }
    for (const { kind, metadata, spec } of manifests as (Manifest & {
      spec: { selector: Record<string, string>; clusterIP?: string };
    })[]) {
      if (kind !== 'Service') continue;
      const behind = this.pods.filter(({ app }) => app === spec.selector['app.kubernetes.io/name']);
      const names = (host: string) => [host, `${host}.callboard.svc`, `${host}.callboard.svc.cluster.local`];
      if (behind[0]) this.#hosts.push({ ip: behind[0].ip, hostnames: names(metadata.name) });
      if (spec.clusterIP === 'None') {
        for (const { name, ip } of behind)
          this.#hosts.push({ ip, hostnames: names(`${name}.${metadata.name}`).slice(1) });
      }
    }
  }

  #add(name: string, { metadata, spec }: Template): void {
    const ip = `${SUBNET}.${10 + this.pods.length}`;
    this.pods.push({ name, app: metadata.labels!['app.kubernetes.io/name']!, ip, spec });
  }

  of(app: string): PlayedPod[] {
    return this.pods.filter((pod) => pod.app === app);
  }

  async start(pod: PlayedPod): Promise<void> {
    const spec = structuredClone(pod.spec);
    spec.securityContext = { ...spec.securityContext, runAsUser: SOME_USER, runAsGroup: 0, fsGroup: SOME_USER };
    spec['hostAliases'] = this.#hosts;
    // What podman would do otherwise than a kubelet.
    for (const member of [
      'serviceAccountName',
      'topologySpreadConstraints',
      'enableServiceLinks',
      'priorityClassName',
    ]) {
      delete spec[member];
    }
    const maps = new Map<string, Record<string, string>>();
    spec.volumes = await Promise.all((spec.volumes ?? []).map((volume) => this.#volume(pod, volume, maps)));
    spec.containers = spec.containers.map((container) => this.#container(pod, container, maps));
    const manifests = [
      ...[...maps].map(([name, data]) => ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data })),
      { apiVersion: 'v1', kind: 'Pod', metadata: { name: pod.name, labels: { callboard: 'verify' } }, spec },
    ];
    const file = join(this.folder, `${pod.name}.yaml`);
    await writeFile(file, manifests.map((manifest) => stringify(manifest)).join('---\n'), { mode: 0o600 });
    await this.podman.run(['kube', 'play', '--network', NETWORK, '--ip', pod.ip, file]);
  }

  async #volume(
    pod: PlayedPod,
    volume: PodSpec['volumes'] extends (infer V)[] | undefined ? V : never,
    maps: Map<string, Record<string, string>>,
  ) {
    const { name, secret, configMap } = volume as {
      name: string;
      secret?: { secretName: string; items?: object[] };
      configMap?: { name: string; items?: object[] };
    };
    if (secret)
      return {
        name,
        configMap: { name: this.#map(pod, secret.secretName, maps), ...(secret.items && { items: secret.items }) },
      };
    if (configMap) return { name, configMap: { ...configMap, name: this.#map(pod, configMap.name, maps) } };
    const path = join(this.folder, 'volumes', pod.name, name);
    await mkdir(path, { recursive: true });
    await chmod(path, 0o777);
    return { name, hostPath: { path, type: 'Directory' } };
  }

  /** Each pod has copies of its own: podman makes a volume of each, and would find that it is there already. */
  #map(pod: PlayedPod, name: string, maps: Map<string, Record<string, string>>): string {
    const config = this.installation.manifests.find(
      ({ kind, metadata }) => kind === 'ConfigMap' && metadata.name === name,
    );
    const data = this.installation.secrets.get(name) ?? (config?.['data'] as Record<string, string> | undefined);
    if (!data) throw new Error(`${pod.name} needs ${name}, which nobody makes`);
    maps.set(`${pod.name}-${name}`, data);
    return `${pod.name}-${name}`;
  }

  #container(pod: PlayedPod, container: Container, maps: Map<string, Record<string, string>>): Container {
    // Podman would run these by systemd, and with curl; the kubelet does it, and here it is `ready` that does.
    const {
      startupProbe: _s,
      livenessProbe: _l,
      readinessProbe: _r,
      lifecycle: _c,
      ports: _p,
      env = [],
      ...rest
    } = container;
    const given = env.flatMap(({ name, value, valueFrom }) => {
      const ref = valueFrom?.['secretKeyRef'] as { name: string; key: string; optional?: boolean } | undefined;
      if (!ref) return [{ name, ...(value !== undefined && { value }), ...(valueFrom && { valueFrom }) }];
      if (ref.optional && this.installation.secrets.get(ref.name)?.[ref.key] === undefined) return [];
      return [{ name, valueFrom: { configMapKeyRef: { name: this.#map(pod, ref.name, maps), key: ref.key } } }];
    });
    return { ...rest, env: given };
  }

  /** Resolves when its readiness probe is content. */
  async ready(pod: PlayedPod): Promise<void> {
    const [container] = pod.spec.containers;
    const { path, port } = (container!['readinessProbe'] as { httpGet: { path: string; port: string } }).httpGet;
    const number = (container!['ports'] as { name: string; containerPort: number }[]).find(
      ({ name }) => name === port,
    )!.containerPort;
    const until = Date.now() + READY_MS;
    for (;;) {
      const answer = await fetch(`http://${pod.ip}:${number}${path}`, { signal: AbortSignal.timeout(2_000) }).catch(
        () => undefined,
      );
      if (answer?.ok) return;
      if (Date.now() > until) throw new Error(`${pod.name} is not ready: ${await this.lastWords(pod)}`);
      await delay(250);
    }
  }

  /** Resolves with the exit code of a pod that ends by itself. */
  async ends(pod: PlayedPod): Promise<number> {
    return Number((await this.podman.run(['wait', this.container(pod)], DONE_MS)).trim());
  }

  /** As a kubelet ends it: SIGTERM, its grace, its exit code. */
  async stop(pod: PlayedPod): Promise<number> {
    const grace = String(pod.spec['terminationGracePeriodSeconds'] ?? 30);
    await this.podman.run(['stop', '--time', grace, this.container(pod)], 120_000);
    return Number((await this.podman.run(['inspect', '--format', '{{.State.ExitCode}}', this.container(pod)])).trim());
  }

  container(pod: PlayedPod): string {
    return `${pod.name}-${pod.spec.containers[0]!.name}`;
  }

  /** What Linux says of its process: users, capabilities, seccomp. */
  async process(pod: PlayedPod): Promise<Record<string, string>> {
    const pid = (await this.podman.run(['inspect', '--format', '{{.State.Pid}}', this.container(pod)])).trim();
    const lines = readFileSync(`/proc/${pid}/status`, 'utf8').split('\n');
    return Object.fromEntries(lines.map((line) => line.split(/:\s*/, 2) as [string, string]));
  }

  /** The end of its log, wherever it was written to. */
  lastWords(pod: PlayedPod): Promise<string> {
    return new Promise((resolve) => {
      execFile('podman', ['logs', '--tail', '5', this.container(pod)], { env: this.podman.env }, (_, stdout, stderr) =>
        resolve(`${stdout}${stderr}`.trim() || 'it said nothing'),
      );
    });
  }

  async close(): Promise<void> {
    for (const { name } of this.pods)
      await this.podman.run(['pod', 'rm', '--force', '--time', '0', name]).catch(() => '');
    for (const volume of (await this.podman.run(['volume', 'ls', '--quiet'])).split('\n').filter(Boolean)) {
      await this.podman.run(['volume', 'rm', '--force', volume]).catch(() => '');
    }
    await this.podman.run(['network', 'rm', '--force', NETWORK]).catch(() => '');
  }
}
