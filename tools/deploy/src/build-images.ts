/** Builds images with buildah or podman, whichever is there. The same commit and the same base give the same image: dates are those of the commit. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runCommand } from '@callboard/nats-server';
import { writeContext } from './image-context.js';
import { IMAGES, inRepository } from './repository.js';

export interface Builder {
  program: string;
  /** What comes before the folder. */
  build: string[];
  env?: NodeJS.ProcessEnv;
}

export interface ImageOptions {
  /** Names a base; by its digest, unless it is of this machine. */
  base: string;
  /** `REGISTRY/REPOSITORY`: an image is `REGISTRY/REPOSITORY-APP:TAG`. */
  repository: string;
  tag: string;
  /** Where the folders are that images are built from. */
  work: string;
  apps?: readonly string[];
  /** Also to the registry that its name begins with. */
  push?: boolean;
  say(line: string): void;
}

const BUILD_MS = 600_000;

export async function buildImages(builder: Builder, options: ImageOptions): Promise<string[]> {
  const { base, repository, tag, work, apps = IMAGES, say } = options;
  if (!/@sha256:[0-9a-f]{64}$/.test(base) && !base.startsWith('localhost/')) {
    throw new Error(
      `--base ${base} names no digest: with another base, the same commit would be another image. See docs/deployment.md`,
    );
  }
  const built: string[] = [];
  for (const app of apps) {
    const { folder, version, revision, at } = await writeContext(app, join(work, app));
    const image = `${repository}-${app}:${tag}`;
    const variables = { NODE_BASE: base, APP: app, VERSION: version, REVISION: revision };
    await build(builder, folder, image, at, inRepository('deploy/images/Containerfile'), variables);
    say(`${image} ${await digestOf(builder, image)}`);
    if (options.push) await runCommand(builder.program, ['push', image], { timeoutMs: BUILD_MS });
    built.push(image);
  }
  return built;
}

export async function build(
  { program, build, env }: Builder,
  folder: string,
  image: string,
  at: number,
  containerfile = join(folder, 'Containerfile'),
  variables: Record<string, string> = {},
): Promise<void> {
  const args = Object.entries(variables).flatMap(([name, value]) => ['--build-arg', `${name}=${value}`]);
  await runCommand(
    program,
    [...build, '--timestamp', String(at), '--file', containerfile, ...args, '--tag', image, folder],
    { timeoutMs: BUILD_MS, ...(env && { env }) },
  );
}

/** Of what the image is, without its name. */
export async function digestOf({ program, env }: Builder, image: string): Promise<string> {
  const said = await runCommand(
    program,
    ['inspect', '--type', 'image', '--format', program.endsWith('buildah') ? '{{.FromImageID}}' : '{{.Id}}', image],
    {
      timeoutMs: BUILD_MS,
      ...(env && { env }),
    },
  );
  return said.trim();
}

export async function versionOfProduct(): Promise<string> {
  return (JSON.parse(await readFile(inRepository('package.json'), 'utf8')) as { version: string }).version;
}
