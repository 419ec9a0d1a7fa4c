/**
 * Makes a package that a site installs into its Backstage: everything of ours in one CommonJS file, types, configuration schema and README.
 * Only Backstage's own packages stay outside, because those must be the backend's. For RHDH that makes it a dynamic plug-in as it is.
 */
import { build } from 'esbuild';
import { copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

export interface Package {
  /** Folder of the project, with `dist`, `config.d.ts` and `README.md`. */
  project: string;
  /** Declarations of `dist` that belong to it. */
  types: readonly string[];
  /** What Backstage's tools want to know of it. */
  backstage: object;
  /** Packages of Backstage that only some sites have, with the versions that will do. */
  optionalPeers?: Readonly<Record<string, string>>;
  keywords: readonly string[];
}

interface Manifest {
  name: string;
  version: string;
  description: string;
  license: string;
  devDependencies: Record<string, string>;
}

/** Writes the package into a folder, which is emptied first, and returns the folder. */
export async function packForBackstage(made: Package, into: string): Promise<string> {
  const { project, types } = made;
  await rm(into, { recursive: true, force: true });
  await mkdir(join(into, 'dist'), { recursive: true });
  await build({
    entryPoints: [join(project, 'dist', 'index.js')],
    outfile: join(into, 'dist', 'index.cjs.js'),
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node20',
    external: ['@backstage/*'],
    legalComments: 'inline',
    logLevel: 'error',
  });
  for (const name of types) await copyFile(join(project, 'dist', name), join(into, 'dist', name));
  for (const name of ['config.d.ts', 'README.md']) await copyFile(join(project, name), join(into, name));
  const manifest = JSON.parse(await readFile(join(project, 'package.json'), 'utf8')) as Manifest;
  await writeFile(join(into, 'package.json'), `${JSON.stringify(published(manifest, made), null, 2)}\n`);
  return into;
}

function published({ name, version, description, license, devDependencies }: Manifest, made: Package): object {
  const backstage = Object.entries(devDependencies).filter(([dependency]) => dependency.startsWith('@backstage/'));
  const peers = Object.fromEntries(backstage.map(([dependency, exact]) => [dependency, `^${exact}`]));
  const { optionalPeers } = made;
  return {
    name,
    version,
    description,
    license,
    main: 'dist/index.cjs.js',
    types: 'dist/index.d.ts',
    files: ['dist', 'config.d.ts'],
    configSchema: 'config.d.ts',
    backstage: made.backstage,
    peerDependencies: { ...peers, ...optionalPeers },
    ...(optionalPeers && {
      peerDependenciesMeta: Object.fromEntries(Object.keys(optionalPeers).map((peer) => [peer, { optional: true }])),
    }),
    keywords: ['backstage', 'backstage-plugin', 'callboard', ...made.keywords],
  };
}
