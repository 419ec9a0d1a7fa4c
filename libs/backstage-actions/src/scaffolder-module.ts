/** The module of the scaffolder: its two actions. */
import { coreServices, createBackendModule, type BackendFeature } from '@backstage/backend-plugin-api';
import { scaffolderActionsExtensionPoint } from '@backstage/plugin-scaffolder-node';
import { callAction } from './call-action.js';
import { readCallboard, readMcpServers } from './config.js';
import { mcpAction } from './mcp-action.js';

export const scaffolderModule: BackendFeature = createBackendModule({
  pluginId: 'scaffolder',
  moduleId: 'callboard',
  register({ registerInit }) {
    registerInit({
      deps: { config: coreServices.rootConfig, actions: scaffolderActionsExtensionPoint },
      async init({ config, actions }) {
        actions.addActions(callAction(readCallboard(config)));
        const servers = readMcpServers(config);
        if (servers.length > 0) actions.addActions(mcpAction(servers));
      },
    });
  },
});
