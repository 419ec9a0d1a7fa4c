/** The Backstages that there are to run: which packages, plug-ins and configuration, and on which Node. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface Fixture {
  /** Its name in the cache. */
  name: string;
  /** Of its manifest and its lock file. */
  folder: string;
  /** Plug-ins and modules of Backstage's own: their packages, without `@backstage/plugin-`. */
  plugins: readonly string[];
  configFiles: readonly string[];
  /** The major version of Node that it needs; absent: the one that runs this will do. */
  node?: number;
  /** Arguments of that Node. */
  nodeArgs?: readonly string[];
}

const TOOLS = fileURLToPath(new URL('../../../tools/', import.meta.url));
/** With the program that starts any of them. */
export const BACKSTAGE_FOLDER = join(TOOLS, 'backstage');
const SCAFFOLDER_FOLDER = join(TOOLS, 'backstage-scaffolder');
const CONFIG = join(BACKSTAGE_FOLDER, 'app-config.yaml');

/** What specs and `npm start -- --backstage` run. */
export const PLAIN: Fixture = {
  name: 'backstage',
  folder: BACKSTAGE_FOLDER,
  plugins: [
    'auth-backend',
    'catalog-backend',
    'events-backend',
    'mcp-actions-backend',
    'notifications-backend',
    'signals-backend',
  ],
  configFiles: [CONFIG],
};

/**
 * With templates and documentation. Its sandbox for templates (isolated-vm) comes ready-made for Node 22 and 24 only, and its SQLite, compiled
 * for Node 24.20, ends the process at the first collection of garbage (`RemoveEnvironmentCleanupHook`); so, Node 22.
 */
export const SCAFFOLDER: Fixture = {
  name: 'backstage-scaffolder',
  folder: SCAFFOLDER_FOLDER,
  plugins: [
    'auth-backend',
    'catalog-backend',
    'catalog-backend-module-scaffolder-entity-model',
    'events-backend',
    'mcp-actions-backend',
    'scaffolder-backend',
    'techdocs-backend',
  ],
  configFiles: [CONFIG, join(SCAFFOLDER_FOLDER, 'app-config.yaml')],
  node: 22,
  // The scaffolder runs no task without it.
  nodeArgs: ['--no-node-snapshot'],
};

/** The Node that runs a fixture: this one if it is as needed, else the one among its packages. */
export function nodeFor({ node }: Fixture, modules: string): string {
  if (node === undefined || Number(process.versions.node.split('.')[0]) === node) return process.execPath;
  // The same program under another name: npm's package for this platform has a prefix of its own.
  const prefix = process.platform === 'darwin' && process.arch === 'arm64' ? 'node-bin' : 'node';
  return join(modules, `${prefix}-${process.platform}-${process.arch}`, 'bin', 'node');
}
