/**
 * Makes the package that a site installs: the module with everything of ours in one CommonJS file, types, configuration schema and README.
 * Only Backstage's own packages stay outside, because those must be the backend's. For RHDH that makes it a dynamic plug-in as it is.
 */
import { build } from 'esbuild';
import { copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const HERE = fileURLToPath(new URL('..', import.meta.url));
const DIST = join(HERE, 'dist');
/** Of the workspace, and not of this project: tools that look for packages below a project would find this one twice. */
const PACKED = join(HERE, '../../dist/backstage-plugin');

interface Manifest {
  name: string;
  version: string;
  description: string;
  license: string;
  devDependencies: Record<string, string>;
}

/** Writes the package into a folder, which is emptied first, and returns the folder. */
export async function packPlugin(into: string = PACKED): Promise<string> {
  await rm(into, { recursive: true, force: true });
  await mkdir(join(into, 'dist'), { recursive: true });
  await build({
    entryPoints: [join(DIST, 'index.js')],
    outfile: join(into, 'dist', 'index.cjs.js'),
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node20',
    external: ['@backstage/*'],
    legalComments: 'inline',
    logLevel: 'error',
  });
  for (const name of ['index.d.ts', 'module.d.ts']) await copyFile(join(DIST, name), join(into, 'dist', name));
  for (const name of ['config.d.ts', 'README.md']) await copyFile(join(HERE, name), join(into, name));
  const manifest = JSON.parse(await readFile(join(HERE, 'package.json'), 'utf8')) as Manifest;
  await writeFile(join(into, 'package.json'), `${JSON.stringify(published(manifest), null, 2)}\n`);
  return into;
}

function published({ name, version, description, license, devDependencies }: Manifest): object {
  const backstage = Object.entries(devDependencies).filter(([dependency]) => dependency.startsWith('@backstage/'));
  return {
    name,
    version,
    description,
    license,
    main: 'dist/index.cjs.js',
    types: 'dist/index.d.ts',
    files: ['dist', 'config.d.ts'],
    configSchema: 'config.d.ts',
    backstage: { role: 'backend-plugin-module', pluginId: 'events', pluginPackage: '@backstage/plugin-events-backend' },
    peerDependencies: Object.fromEntries(backstage.map(([dependency, exact]) => [dependency, `^${exact}`])),
    keywords: ['backstage', 'backstage-plugin', 'callboard', 'events'],
  };
}
