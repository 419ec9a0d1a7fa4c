export {
  startBackstageServer,
  type BackstageServerOptions,
  type BackstageTokens,
  type CallboardPlugin,
  type RunningBackstage,
} from './backstage-server.js';
export { BackstageUsers } from './backstage-users.js';
export { PLAIN, SCAFFOLDER, type Fixture } from './fixture.js';
export { NoBackstage, installBackstage } from './install.js';
