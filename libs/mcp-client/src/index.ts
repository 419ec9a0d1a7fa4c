export { BROKEN_STREAM, tellEverything } from './tell-everything.js';
