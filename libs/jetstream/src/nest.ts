/** What needs Nest, behind a door of its own: loading it takes half a second, and only the runner is a Nest microservice. */
export { JetStreamServer } from './jetstream-server.js';
