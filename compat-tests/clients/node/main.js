// What node-zookeeper-client can ask. Argument: the server's address. Connections are cut by the
// client's own hand and not by a restart: it sets no limit to the wait for an answer to its
// greeting, and the reference loses some of the connections that are made while it starts.
'use strict';
const zookeeper = require('node-zookeeper-client');

const LIMIT_MS = 20000;
const address = process.argv[2];

const failed = (error) => `! ${error.name}${error.getName ? ' ' + error.getName() : ''}`;
const stat = (s) => `v=${s.version} cv=${s.cversion} av=${s.aversion} kids=${s.numChildren} len=${s.dataLength}`;

function text(value) {
  if (Buffer.isBuffer(value)) return `'${value}'`;
  if (Array.isArray(value)) return `[${value.map(text).sort().join(', ')}]`;
  if (value && value.specification && value.czxid) return stat(value);
  if (value && value.permission !== undefined) return `${value.permission} ${value.id.scheme}:${value.id.id}`;
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

// Calls a method with a callback at its end and prints what came back.
function ask(client, method, ...args) {
  return new Promise((resolve) => {
    client[method](...args, (error, ...results) => {
      const shown = args.filter((arg) => typeof arg === 'string').join(' ');
      console.log(`${method} ${shown} -> ${error ? failed(error) : results.filter((r) => r != null).map(text).join(' ')}`);
      resolve(results[0]);
    });
  });
}

function connect() {
  const client = zookeeper.createClient(address, { sessionTimeout: 8000, spinDelay: 100, retries: 0 });
  return new Promise((resolve) => {
    client.once('connected', () => resolve(client));
    client.once('expired', () => { console.error('the session expired'); process.exit(1); });
    client.connect();
  });
}

// A watcher and the promise of its event.
function watch() {
  let fire;
  const event = new Promise((resolve) => {
    const timer = setTimeout(() => resolve('MISSING'), LIMIT_MS);
    fire = (e) => { clearTimeout(timer); resolve(`${e.getName()} ${e.getPath()}`); };
  });
  return { fire, event };
}

function commit(transaction) {
  return new Promise((resolve) => {
    transaction.commit((error, results) => {
      const parts = (results || []).map((r) => `type ${r.type} err ${r.err === undefined ? 0 : r.err} ${r.path || ''} ${r.stat ? stat(r.stat) : ''}`);
      console.log(`transaction -> ${error ? failed(error) : 'done'} ${parts.join('; ')}`);
      resolve();
    });
  });
}

async function main() {
  const a = await connect();
  const b = await connect();
  const { CreateMode, ACL, Permission, Id } = zookeeper;
  await ask(a, 'mkdirp', '/node/a/b');
  await ask(a, 'create', '/node/x', Buffer.from('data'));
  await ask(a, 'create', '/node/x', Buffer.from('data'));
  await ask(a, 'create', '/node/e', Buffer.from(''), CreateMode.EPHEMERAL);
  await ask(a, 'create', '/node/s-', Buffer.from(''), CreateMode.PERSISTENT_SEQUENTIAL);
  await ask(a, 'create', '/node/es-', Buffer.from(''), CreateMode.EPHEMERAL_SEQUENTIAL);
  await ask(a, 'create', '/node/e/child', Buffer.from(''));
  await ask(a, 'setData', '/node/x', Buffer.from('new'), 0);
  await ask(a, 'setData', '/node/x', Buffer.from('newer'), 0);
  await ask(a, 'getData', '/node/x');
  await ask(a, 'exists', '/node/none');
  await ask(a, 'getChildren', '/node');
  await ask(a, 'remove', '/node', -1);
  await ask(a, 'remove', '/node/none', -1);
  await ask(a, 'getACL', '/node/x');
  a.addAuthInfo('digest', Buffer.from('me:pw'));
  await ask(a, 'create', '/node/closed', Buffer.from('s'), [new ACL(Permission.ALL, new Id('auth', ''))]);
  await ask(a, 'getACL', '/node/closed');
  await ask(b, 'getData', '/node/closed');
  await ask(a, 'setACL', '/node/closed', ACL.READ_ACL_UNSAFE, 0);
  await ask(b, 'getData', '/node/closed');
  await ask(b, 'setData', '/node/closed', Buffer.from('no'), -1);
  await commit(a.transaction().create('/node/t', Buffer.from('1')).setData('/node/t', Buffer.from('2'), 0)
    .check('/node/t', 1).remove('/node/t', 1));
  await commit(a.transaction().create('/node/t').check('/node/x', 77).remove('/node/t'));
  await ask(a, 'removeRecursive', '/node/a');

  const [data, absent, children] = [watch(), watch(), watch()];
  await ask(a, 'getData', '/node/x', data.fire);
  await ask(a, 'exists', '/node/w', absent.fire);
  await ask(a, 'getChildren', '/node', children.fire);
  await ask(b, 'setData', '/node/x', Buffer.from('w'), -1);
  await ask(b, 'create', '/node/w', Buffer.from(''));
  for (const watched of [data, absent, children]) console.log(await watched.event);

  const kept = watch();
  await ask(a, 'getData', '/node/x', kept.fire);
  const session = a.getSessionId().toString('hex');
  const back = [a, b].map((client) => new Promise((resolve) => client.once('connected', resolve)));
  for (const client of [a, b]) client.connectionManager.socket.destroy();
  await Promise.all(back);
  console.log(`the same session: ${session === a.getSessionId().toString('hex')}`);
  await ask(b, 'setData', '/node/x', Buffer.from('after'), -1);
  console.log(await kept.event);
  await ask(b, 'exists', '/node/e');
  a.close();
  await new Promise((resolve) => a.once('disconnected', resolve));
  await ask(b, 'exists', '/node/e');
  b.close();
}

// A callback that never comes must not keep the jury waiting.
setTimeout(() => { console.error('not finished in time'); process.exit(1); }, 120000).unref();

main().then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });
