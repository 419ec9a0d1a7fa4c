export {
  startBackstageServer,
  type BackstageServerOptions,
  type BackstageTokens,
  type CallboardPlugin,
  type RunningBackstage,
} from './backstage-server.js';
export { NoBackstage, installBackstage } from './install.js';
