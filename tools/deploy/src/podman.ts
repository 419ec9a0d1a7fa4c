/** Podman and buildah with a configuration and a store of their own, so that nothing of this machine is used or changed. */
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { runCommand } from '@callboard/nats-server';
import type { Builder } from './build-images.js';

export class Podman {
  private constructor(
    readonly env: NodeJS.ProcessEnv,
    readonly builder: Builder,
  ) {}

  /** What is missing here, in words; empty when pods can be played. */
  static missing(): string[] {
    const missing = ['podman', 'buildah', 'iptables'].filter((program) => !onPath(program));
    if (!RUNTIMES.some(onPath)) missing.push(RUNTIMES.join(' or '));
    if (process.platform !== 'linux' || process.getuid?.() !== 0)
      missing.push('root on Linux, to reach pods by their addresses');
    return missing;
  }

  static async open(folder: string): Promise<Podman> {
    await mkdir(folder, { recursive: true });
    const conf = join(folder, 'containers.conf');
    const storage = join(folder, 'storage.conf');
    await writeFile(
      conf,
      [
        '[engine]',
        `runtime = "${RUNTIMES.find(onPath)}"`,
        'cgroup_manager = "cgroupfs"',
        'events_logger = "file"',
        '[network]',
        'network_backend = "netavark"',
        '[containers]',
        'default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]',
        '',
      ].join('\n'),
    );
    await writeFile(
      storage,
      `[storage]\ndriver = "overlay"\ngraphroot = "${join(folder, 'graph')}"\nrunroot = "${join(folder, 'run')}"\n`,
    );
    const env = { ...process.env, CONTAINERS_CONF: conf, CONTAINERS_STORAGE_CONF: storage };
    return new Podman(env, { program: 'buildah', build: ['bud', '--isolation', 'chroot', '--layers=false'], env });
  }

  run(args: string[], timeoutMs = 60_000): Promise<string> {
    return runCommand('podman', args, { timeoutMs, env: this.env });
  }
}

/** runc first: an older crun refuses a machine with both sorts of cgroups. */
const RUNTIMES = ['runc', 'crun'];

function onPath(program: string): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some((folder) => folder && existsSync(join(folder, program)));
}
