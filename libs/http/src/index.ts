export { isNestedDeeperThan, parseJson, readBody, type BodyEnd } from './body.js';
export { FailedAuthentications, clientAddress, type FailedAuthenticationsOptions } from './failed-authentications.js';
export { HttpServer, type Handler, type HttpServerOptions } from './http-server.js';
export { Limit } from './limit.js';
export { neverConnected } from './never-connected.js';
export { sendJson, answerProblem, type ProblemOptions } from './problem.js';
export { takeRoom, type Room } from './take-room.js';
export { refusals, watchLimit } from './watch-limit.js';
