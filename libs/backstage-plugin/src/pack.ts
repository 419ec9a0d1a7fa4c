/** Makes the package of the events module. */
import { packForBackstage } from '@callboard/backstage-pack';
import { fileURLToPath } from 'node:url';

/** Of the workspace, and not of this project: tools that look for packages below a project would find this one twice. */
const PACKED = fileURLToPath(new URL('../../../dist/backstage-plugin', import.meta.url));

/** Writes the package into a folder, which is emptied first, and returns the folder. */
export function packPlugin(into: string = PACKED): Promise<string> {
  return packForBackstage(
    {
      project: fileURLToPath(new URL('..', import.meta.url)),
      types: ['index.d.ts', 'module.d.ts'],
      backstage: {
        role: 'backend-plugin-module',
        pluginId: 'events',
        pluginPackage: '@backstage/plugin-events-backend',
      },
      keywords: ['events'],
    },
    into,
  );
}
