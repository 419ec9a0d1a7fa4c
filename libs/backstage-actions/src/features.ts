/** What of this package takes part in a backend: only what the app-config asks for, so that a site needs no scaffolder to have the rest. */
import { coreServices, createBackendFeatureLoader, type BackendFeature } from '@backstage/backend-plugin-api';
import { actionsPlugin } from './actions-plugin.js';

const features: BackendFeature = createBackendFeatureLoader({
  deps: { config: coreServices.rootConfig },
  async *loader({ config }) {
    if (config.has('callboard.actions')) yield actionsPlugin;
    if (config.has('callboard.scaffolder')) yield (await import('./scaffolder-module.js')).scaffolderModule;
  },
});
export default features;
