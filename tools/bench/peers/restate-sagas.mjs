// Restate's producer: one request to its ingress a saga, over kept connections.
import http from 'node:http';
import { serveProducer } from '../dist/load/queue-producer.js';

const agent = new http.Agent({ keepAlive: true, maxSockets: 300 });

function post(port, path, body) {
  const data = Buffer.from(JSON.stringify(body));
  const headers = { 'Content-Type': 'application/json', 'Content-Length': data.length };
  return new Promise((resolve, reject) => {
    const request = http.request({ host: '127.0.0.1', port, path, method: 'POST', agent, headers }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk) => (text += chunk));
      response.on('end', () =>
        response.statusCode < 300 ? resolve(text) : reject(new Error(`${response.statusCode} ${text}`)),
      );
    });
    request.on('error', reject).end(data);
  });
}

await post(process.env.BENCH_ADMIN_PORT, '/deployments', { uri: `http://127.0.0.1:${process.env.BENCH_SERVICE_PORT}` });
serveProducer(async (job) => {
  const ended = JSON.parse(await post(process.env.BENCH_INGRESS_PORT, '/bench/saga', { fails: job === 'undone' }));
  if (ended !== job) throw new Error(`a saga that was to be ${job} is ${ended}`);
});
