export { default } from './features.js';
