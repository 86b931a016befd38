// The pizza shop in Node.js: express and the official SDK's streamable HTTP transport, stateless, as its example has it.

import { McpServer, ResourceTemplate } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import express from 'express';
import * as z from 'zod/v4';

const SHOPS = new Map([
    ['napoli', new Map([['margherita', 900], ['marinara', 800], ['diavola', 1150]])],
    ['roma', new Map([['bianca', 850], ['capricciosa', 1250]])]
]);

const ORDER = {
    title: 'Order a pizza',
    description:
        'Orders pizza from a shop and returns the receipt. Read menu://{shop_id} first to see what the shop bakes. ' +
        'Leave the address out to let the user type it.',
    inputSchema: {
        shopId: z.string().describe('The shop, such as `napoli`; the resource `menu://{shop_id}` says what it bakes.'),
        pizza: z.string().describe('The pizza, as the menu calls it.'),
        // the bounds are for the schema; the tool checks them and says how to do better
        quantity: z.number().default(1).describe('How many; one unless said otherwise.').meta({
            type: 'integer',
            minimum: 1,
            maximum: 20
        }),
        address: z.string().nullish().describe('Where to bring it. The user is asked when it is missing.')
    },
    outputSchema: {
        order: z.number().int().describe('The number of the order.'),
        pizza: z.string().describe('What is being baked.'),
        quantity: z.number().int().describe('How many.'),
        address: z.string().describe('Where it goes.'),
        totalCents: z.number().int().describe('What it costs, in cents.')
    },
    annotations: { readOnlyHint: false, destructiveHint: false, idempotentHint: false, openWorldHint: false }
};

const refuse = text => ({ content: [{ type: 'text', text }], isError: true });

let orders = 0;

function orderPizza({ shopId, pizza, quantity, address }) {
    const menu = SHOPS.get(shopId);
    if (!menu) return refuse(`no shop ${JSON.stringify(shopId)}; there are napoli and roma`);
    const price = menu.get(pizza);
    if (price === undefined) return refuse(`${shopId} bakes no ${JSON.stringify(pizza)}; read menu://${shopId}`);
    if (!Number.isInteger(quantity) || quantity < 1 || quantity > 20) {
        return refuse(`quantity is ${quantity}; order 1 to 20`);
    }
    // without a session there is nobody to ask
    if (address == null) return refuse('the address is missing; ask the user for the address and pass it');
    orders += 1;
    const receipt = { address, order: orders, pizza, quantity, totalCents: price * quantity };
    return { content: [{ type: 'text', text: JSON.stringify(receipt) }], structuredContent: receipt };
}

// The SDK ties a server to one transport, so a stateless one is built for each request.
function pizzaShop() {
    const server = new McpServer(
        { name: 'pizza', version: '0.1.0' },
        { instructions: 'Read menu://{shop_id} for the shops napoli and roma, then order with order-pizza.' }
    );
    server.registerTool('order-pizza', ORDER, orderPizza);
    server.registerResource(
        'menu',
        new ResourceTemplate('menu://{shop_id}', { list: undefined }),
        { description: 'What a shop bakes, and what it costs in cents.', mimeType: 'text/plain' },
        (uri, { shop_id }) => {
            const menu = SHOPS.get(shop_id);
            if (!menu) throw new Error('no such menu; there are menu://napoli and menu://roma');
            const text = Array.from(menu, ([pizza, cents]) => `${pizza}: ${cents}`).join('\n');
            return { contents: [{ uri: uri.href, mimeType: 'text/plain', text }] };
        }
    );
    server.registerPrompt(
        'get-my-usual',
        { title: 'Get my usual', description: 'Orders what you always have.' },
        () => {
            const text = 'Order my usual: one margherita from the shop napoli. Tell me what it costs.';
            return { messages: [{ role: 'user', content: { type: 'text', text } }] };
        }
    );
    return server;
}

// Not the SDK's createMcpExpressApp: the adapter passes on the Host header of the API, which that would refuse.
const app = express();
app.use(express.json());

app.post('/mcp', async (request, response) => {
    const server = pizzaShop();
    const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined, enableJsonResponse: true });
    response.on('close', () => {
        transport.close();
        server.close();
    });
    await server.connect(transport);
    await transport.handleRequest(request, response, request.body);
});

app.listen(Number(process.env.AWS_LWA_PORT ?? 8080), '127.0.0.1');
