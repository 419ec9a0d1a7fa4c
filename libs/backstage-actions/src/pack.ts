/** Makes the package of this plug-in. */
import { packForBackstage } from '@callboard/backstage-pack';
import { fileURLToPath } from 'node:url';

const PACKED = fileURLToPath(new URL('../../../dist/backstage-actions', import.meta.url));

/** Writes the package into a folder, which is emptied first, and returns the folder. */
export function packActions(into: string = PACKED): Promise<string> {
  return packForBackstage(
    {
      project: fileURLToPath(new URL('..', import.meta.url)),
      types: ['index.d.ts', 'features.d.ts'],
      backstage: { role: 'backend-plugin', pluginId: 'callboard' },
      optionalPeers: { '@backstage/plugin-scaffolder-node': '^0.13.6' },
      keywords: ['actions', 'scaffolder', 'mcp'],
    },
    into,
  );
}
