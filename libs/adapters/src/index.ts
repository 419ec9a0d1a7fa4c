export { AdapterFileError } from './adapter-file.js';
export { openAdapters, pinServers, type Adapters, type PinReport } from './adapters.js';
