<?php
require 'shop.php';
if ($_SERVER['REQUEST_METHOD'] !== 'POST' || ($_POST['qty'] ?? '') !== '1') {
    http_response_code(400);
    exit('bad request');
}
$order = substr(work(40000, 100000), 0, 12);
http_response_code(302);
header('Location: /thanks.php?order=' . $order);
header('X-Customer: ' . rawurlencode(customer()));
