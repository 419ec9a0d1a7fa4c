export { ActionService, type ActionServiceOptions } from './action-service.js';
