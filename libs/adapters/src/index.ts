export { AdapterFileError } from './adapter-file.js';
export {
  askBackstages,
  openAdapters,
  pinServers,
  type AdapterDependencies,
  type Adapters,
  type BackstageAnswer,
  type PinReport,
} from './adapters.js';
export { type LastSeen } from './backstage/mirror.js';
export { type BackstageSite } from './backstage/site.js';
export { CallersToken, type AskForToken, type BackstageTokens, type Caller } from './backstage/tokens.js';
export { NatsServices, type Found } from './nats/nats-services.js';
export { Handovers } from './remote/handovers.js';
export { type Callbacks } from './remote/remote-action.js';
