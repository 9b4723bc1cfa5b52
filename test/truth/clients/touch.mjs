// Opens a TLS connection for each line that it reads, sends one PING, and answers by a line. usage: touch.mjs HOST PORT
import readline from 'node:readline';
import tls from 'node:tls';

const [host, port] = process.argv.slice(2);
for await (const _ of readline.createInterface({ input: process.stdin })) {
  await new Promise((resolve, reject) => {
    const connection = tls.connect({ host, port: Number(port) }, () => connection.write('PING\r\n'));
    connection.on('data', () => connection.end()).on('close', resolve).on('error', reject);
  });
  console.log('touched');
}
