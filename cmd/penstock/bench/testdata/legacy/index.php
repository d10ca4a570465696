<?php
require 'shop.php';
customer();
$h = work(30000, 60000);
?><!doctype html>
<title>Phone</title>
<h1>Phone</h1>
<p>Today only. Reference <?= $h ?></p>
<?php for ($i = 0; $i < 40; $i++) { ?><p>Line <?= $i ?> of what a product page says about itself.</p>
<?php } ?>
<form method="post" action="/buy.php"><input name="qty" value="1"><button>Buy</button></form>
