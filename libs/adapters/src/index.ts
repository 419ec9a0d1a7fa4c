export { AdapterFileError } from './adapter-file.js';
export { openAdapters, pinServers, type AdapterDependencies, type Adapters, type PinReport } from './adapters.js';
export { NatsServices, type Found } from './nats/nats-services.js';
export { Handovers } from './remote/handovers.js';
export { type Callbacks } from './remote/remote-action.js';
